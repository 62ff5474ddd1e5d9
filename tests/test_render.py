"""Renderers refuse dangerous values. The rendered files are in tests/golden."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from portcullis.components.containers.render import http_check
from portcullis.components.nginx import render as nginx
from portcullis.components.nginx.args import ReverseProxyArgs
from portcullis.dialect import DIALECTS
from portcullis.rendering import header, word

if TYPE_CHECKING:
    from pathlib import Path

EVIL = ["a;b", "a b", "a{", "a}", "a\nb", 'a"', "a'", "a$b", "a\\b", "", "a#", "ä"]


@pytest.mark.parametrize("text", EVIL)
def test_a_word_that_needs_quotes_is_refused(text: str) -> None:
    for render in (
        lambda: word(text),
        lambda: header(text, "why"),
        lambda: nginx.site_path(text),
        lambda: nginx.default_server(text, DIALECTS["debian-13"], ReverseProxyArgs()),
        lambda: nginx.tls_snippet(text, "modern", DIALECTS["debian-13"]),
        lambda: nginx.compression(text, brotli=False),
        lambda: nginx.packaged_site(text),
    ):
        with pytest.raises(ValueError, match="a configuration file cannot contain unquoted"):
            render()


@pytest.mark.parametrize("path", ["healthz", "/a'b", "/a b", '/a"b', "/a$(id)", "/a`id`", "/a\nb", "/a;b"])
def test_a_health_path_that_would_end_its_quotes_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="cannot request the path"):
        http_check(80, path)


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("wget", ["-q", "-O", "/dev/null", "http://127.0.0.1:8080/healthz"]),
        ("curl", ["-fsS", "-m", "3", "-o", "/dev/null", "http://127.0.0.1:8080/healthz"]),
        (
            "node",
            [
                "-e",
                (
                    'require("http").get("http://127.0.0.1:8080/healthz",{timeout:3000},'
                    'r=>process.exit(r.statusCode<400?0:1)).on("error",()=>process.exit(1))'
                ),
            ],
        ),
        (
            "python3",
            ["-c", 'import urllib.request as u;u.urlopen("http://127.0.0.1:8080/healthz",timeout=3)'],
        ),
    ],
)
def test_the_health_check_uses_the_tool_that_the_image_has(
    tool: str, arguments: list[str], tmp_path: Path
) -> None:
    image = tmp_path / tool
    image.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nexit 7\n')
    image.chmod(0o755)
    done = run_in_image(tmp_path)
    assert done.returncode == 7
    assert done.stdout.splitlines() == arguments


def test_the_health_check_gives_advice_if_the_image_has_no_tool(tmp_path: Path) -> None:
    done = run_in_image(tmp_path)
    assert done.returncode == 1
    assert "set healthCommand" in done.stdout


def run_in_image(path: Path) -> subprocess.CompletedProcess[str]:
    """Run the health check as Docker does, in an image whose PATH contains no other program."""
    _, line = http_check(8080, "/healthz")
    return subprocess.run(
        ["/bin/sh", "-c", line],
        env={"PATH": str(path)},
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
