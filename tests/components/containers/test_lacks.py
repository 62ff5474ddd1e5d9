from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from portcullis.components.containers.on_host.lacks import lacks

if TYPE_CHECKING:
    from collections.abc import Iterator


def cases() -> Iterator[tuple[str, str]]:
    """Yield lines of real programs, each with the indented sentence below it and its neighbours."""
    lines = []
    for line in Path(__file__).with_name("lacks.txt").read_text("utf-8").splitlines():
        lines.append(line)
        if line.startswith("    "):
            yield from ((each, line.strip()) for each in lines[:-1])
            lines = []


@pytest.mark.parametrize(("line", "said"), list(cases()))
def test_what_a_line_of_a_log_says(line: str, said: str) -> None:
    assert lacks(f"ready on /run/a\n{line}\n{line}\nbye") == ([] if said == "nothing" else [said])


def test_several_paths_are_named_together_but_no_folder_above_them() -> None:
    paths = ["/opt/a", "/run/postgresql", "/run/a.pid", "/app/b", "/run/postgresql/x"]
    (said,) = lacks("\n".join(f"{path}: Read-only file system" for path in paths))
    assert said.startswith("it writes to /run/a.pid and /app/b and /run/postgresql/x, but ")
    assert said.endswith(": add `tmpfs: {/run: 16, /run/postgresql: 16}`, and a volume or a `tmpfs` for the "
                         "folder with its data")  # fmt: skip


_HOSTILE = [
    f"/{'a' * 120}",
    "/run/\x1b[31m",
    "/a$b",
    "/a//b",
    "/\u0430",
    "/run/a/../secrets",
    "/run/./secrets",
]
_OURS = ["/", "/run/secrets/a", "/var/run/secrets", "/proc/a", "/sys/a", "/dev/stdout", "/tmp/a"]  # noqa: S108


@pytest.mark.parametrize("path", [*_HOSTILE, *_OURS])
def test_a_path_that_is_hostile_or_needs_no_setting_is_not_printed(path: str) -> None:
    assert lacks(f"{path}: Permission denied") == []
    (said,) = lacks(f"{path}: Read-only file system")
    assert said.startswith("it writes to some file, but")


def test_a_hostile_log_gives_a_short_answer() -> None:
    signs = ["Permission denied", "Read-only file system", "chown Operation not permitted"]
    said = lacks("\n".join(f"{'/ab' * 90} /{n}x{'/a' * 58}: {sign}" for n in range(20, 40) for sign in signs))
    assert len(said) == len(signs)
    assert len("; ".join(said)) < 1200
    assert f" and /39x{'/a' * 58}" in said[0]
