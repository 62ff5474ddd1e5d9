"""No text in a setting changes the structure of a site's file: the renderer quotes or refuses the text."""

from __future__ import annotations

import random
import string
from typing import TYPE_CHECKING, Any, TypeVar

import crossplane
import pytest

from portcullis.components.nginx import render as nginx
from portcullis.components.nginx.args import CorsArgs, LimitsArgs, MaintenanceArgs, ReverseProxyArgs
from portcullis.components.nginx.render.tree import Expression, block, directive, quoted, render
from portcullis.config.section import Section
from portcullis.dialect import DIALECTS
from tests.golden.nginx_sites import a_site, changed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

S = TypeVar("S", bound=Section)
NEW = DIALECTS["debian-13"]
APP = nginx.Upstream("172.17.0.1", 2019)
SITE = a_site("a.example", {"/": APP}, certificate=nginx.KeyPair("/etc/a.pem", "/etc/a.pem"))
FILES = a_site("a.example", root="/var/www/a.example")
HOSTILE = [
    "a;b",
    "a; evil on;",
    "a}\nevil on;",
    '"; evil on; "',
    "'; evil on; '",
    "a\\",
    'a\\"; evil on; #',
    "a\nevil on;",
    "a\r\nX-Evil: 1",
    "a\x00b",
    "${evil}",
    "$evil",
    "a # evil",
    "#",
    "{",
    "}",
    "{ evil on; }",
    "",
    " ",
    "a b",
    "ä",
    "~.*",
    "default",
    "include",
    "hostnames",
    "volatile",
    "*.",
    "a..b",
    "*",
    "%24evil",
    "</p><script>evil()</script>",
]
SEED = 20261125


def unchecked(kind: type[S], **values: Any) -> S:
    """Build arguments without their checks, because these tests are about the renderer."""
    return kind.model_construct(**values)


# Each function puts a text into the place of one setting.
PLACES: dict[str, Callable[[str], nginx.Site]] = {
    "name": lambda text: changed(SITE, name=text),
    "alias": lambda text: changed(SITE, aliases=(text,)),
    "former name": lambda text: changed(SITE, redirect_from=(text,)),
    "path of an app": lambda text: changed(SITE, apps={"/": APP, f"/{text}": APP}),
    "address of an app": lambda text: changed(SITE, apps={"/": nginx.Upstream(text, 1)}),
    "folder": lambda text: changed(FILES, root=text),
    "redirect": lambda text: a_site("a.example", redirect=f"https://b.example/{text}"),
    "host of a redirect": lambda text: a_site("a.example", redirect=f"https://{text}"),
    "certificate": lambda text: changed(SITE, certificate=nginx.KeyPair(text, "/etc/a.pem")),
    "key": lambda text: changed(SITE, certificate=nginx.KeyPair("/etc/a.pem", text)),
    "passwords": lambda text: changed(SITE, passwords=f"/{text}"),
    "network": lambda text: changed(SITE, allow=(text,)),
    "network in maintenance": lambda text: changed(
        SITE, maintenance=unchecked(MaintenanceArgs, except_=(text,))
    ),
    "message": lambda text: changed(SITE, maintenance=unchecked(MaintenanceArgs, message=text)),
    "origin": lambda text: changed(SITE, cors=unchecked(CorsArgs, origins=(f"https://{text}",))),
    "scheme of an origin": lambda text: changed(
        SITE, cors=unchecked(CorsArgs, origins=(f"{text}://a.example",))
    ),
    "method": lambda text: changed(
        SITE, cors=unchecked(CorsArgs, origins=("https://b.example",), methods=(text,))
    ),
    "request header": lambda text: changed(
        SITE, cors=unchecked(CorsArgs, origins=("https://b.example",), headers=(text,))
    ),
    "exposed header": lambda text: changed(
        SITE, cors=unchecked(CorsArgs, origins=("https://b.example",), exposed_headers=(text,))
    ),
    "policy": lambda text: changed(SITE, csp=text),
    "policy on trial": lambda text: changed(SITE, csp_report_only=text),
    "header": lambda text: changed(SITE, headers={"X-A": text}),
    "name of a header": lambda text: changed(SITE, headers={text: "a"}),
    "size": lambda text: changed(SITE, limits=unchecked(LimitsArgs, body=text)),
    "access log": lambda text: changed(SITE, access_log=text),
}
# Texts that the settings allow, for comparison. Another text in the same place may change only the words
# there.
HARMLESS = {
    "name": "a.example",
    "alias": "c.example",
    "former name": "c.example",
    "address of an app": "10.0.0.1",
    "host of a redirect": "b.example",
    "network": "192.0.2.1",
    "network in maintenance": "192.0.2.1",
    "origin": "b.example",
    "scheme of an origin": "tauri",
    "name of a header": "X-B",
    "size": "1M",
    "access log": "json",
}


def shape(text: str, folder: Path) -> list[Any]:
    """Return the structure that nginx would read: each directive with the number of its words."""
    path = folder / "site.conf"
    path.write_bytes(text.encode())
    found = crossplane.parse(str(path), single=True, check_ctx=False, check_args=False, comments=False)
    assert found["status"] == "ok", found["errors"]
    (config,) = found["config"]
    return _of(config["parsed"])


def _of(statements: list[dict[str, Any]], parent: str = "") -> list[Any]:
    return [
        (
            # In `map` and `geo`, the first word is a value to compare with.
            "value" if parent in ("map", "geo") else each["directive"],
            len(each["args"]),
            _of(each.get("block", []), each["directive"]),
        )
        for each in statements
    ]


@pytest.mark.parametrize("place", PLACES)
def test_no_text_adds_a_directive(place: str, tmp_path: Path) -> None:
    make = PLACES[place]
    harmless = shape(nginx.site("a", make(HARMLESS.get(place, "a")), NEW), tmp_path)
    for text in (*HOSTILE, *random_texts(60)):
        try:
            rendered = nginx.site("a", make(text), NEW)
        except ValueError:
            continue
        found = shape(rendered, tmp_path)
        # The file has no empty header, and an access log may be off.
        assert found == harmless or (len(found) == len(harmless) and text.strip() in ("", "off")), text
        assert "evil on" not in [name for name, *_ in flat(found)]


def flat(found: list[Any]) -> list[Any]:
    return [each for one in found for each in (one, *flat(one[2]))]


def random_texts(count: int) -> list[str]:
    chance = random.Random(SEED)  # noqa: S311 (the same texts each time, so that a failure can be repeated)
    alphabet = string.printable + "äß€\x00\x1b" + ";{}\"'\\$#~ " * 6
    return ["".join(chance.choices(alphabet, k=chance.randint(1, 12))) for _ in range(count)]


def test_a_quoted_text_is_read_back_unchanged(tmp_path: Path) -> None:
    for text in (*HOSTILE, *random_texts(2000)):
        try:
            word = quoted(text)
        except ValueError:
            assert "$" in text or any(ord(each) < 32 or ord(each) == 127 for each in text)
            continue
        path = tmp_path / "a.conf"
        path.write_bytes(render([block("a", body=[directive("b", text, "last")])]).encode())
        (config,) = crossplane.parse(str(path), single=True, check_ctx=False, check_args=False)["config"]
        (inner,) = config["parsed"][0]["block"]
        # crossplane keeps both backslashes where nginx removes one: see tests/proxy/test_quoting.py.
        assert inner["args"] == [text.replace("\\", "\\\\"), "last"], word


def test_only_an_expression_of_ours_may_hold_a_dollar() -> None:
    assert quoted(Expression("$uri")) == "$uri"
    with pytest.raises(ValueError, match="would begin the name of a variable"):
        quoted("$uri")


@pytest.mark.parametrize("text", HOSTILE)
def test_shared_files_refuse_texts_that_would_break_out(text: str) -> None:
    for shared in (
        unchecked(ReverseProxyArgs, trusted_proxies=(text,)),
        unchecked(ReverseProxyArgs, trusted_proxies=("192.0.2.0/24",), real_ip_header=text),
    ):
        try:
            rendered = nginx.default_server("a", NEW, shared)
        except ValueError:
            continue
        assert set(text) <= set(string.ascii_letters + string.digits + "._:/@-")
        assert "evil" not in rendered


def test_a_snippet_comes_last_so_that_it_hides_no_line_of_ours() -> None:
    # nginx tests the snippet itself. No directive of ours comes after the snippet.
    snippet = "location /a {\n    return 204;\n}\n# evil"
    rendered = nginx.site("a", changed(SITE, snippet=snippet), NEW)
    assert rendered.endswith("    location /a {\n        return 204;\n    }\n    # evil\n}\n")
