"""The fix and the severity of undeclared files, and folders that only root can write to."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.agent import undeclared
from portcullis.agent.root_folders import RootFolders
from portcullis.agent.undeclared import COSMETIC, OPEN, WRONG, UndeclaredFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from portcullis.agent.machine import Machine

EMPTY = "d41d8cd98f00b204e9800998ecf8427e"
"""The md5 sum of an empty file, which the package nginx-common ships."""


def told(machine: Machine, path: Path, *before: str) -> UndeclaredFile:
    (machine.dpkg / "status").write_text(
        f"Package: nginx-common\nConffiles:\n {path.parent}/shipped.conf {EMPTY}\nVersion: 1\n"
    )
    store: Any = SimpleNamespace(folder=lambda *_: machine.root / "none")
    # Hosts have records with this key.
    record: Any = SimpleNamespace(original={"strangers": dict.fromkeys(before, "other")}, extra={})
    found = undeclared.read(machine, store, path.parent)
    return undeclared.told(found, record, ())[str(path)]


def _pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _link(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("/srv/x")


def _access(uid: int, mode: int) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        os.chown(path, uid, uid)
        path.chmod(mode)

    return change


DEEDS: dict[str, tuple[str, Callable[[Path], object], str, tuple[str, ...]]] = {
    "a file": ("new.conf", lambda path: path.write_text("x"), OPEN, ("remove",)),
    "a link": ("new.conf", _link, OPEN, ("remove",)),
    "a pipe": ("new.conf", _pipe, OPEN, ("remove",)),
    "a changed file": ("shipped.conf", lambda path: path.write_text("x"), WRONG, ("extract", "nginx-common")),
    "a file that is gone": ("shipped.conf", lambda path: path.unlink(), WRONG, ("extract", "nginx-common")),
    "a link in its place": ("shipped.conf", _link, WRONG, ("extract", "nginx-common")),
    "a pipe in its place": ("shipped.conf", _pipe, WRONG, ("extract", "nginx-common")),
    "a folder in its place": ("shipped.conf", _folder, WRONG, ("extract-over-folder", "nginx-common")),
    "a mode": ("shipped.conf", _access(0, 0o666), OPEN, ("chmod", "0644")),
    "an owner": ("shipped.conf", _access(1, 0o644), OPEN, ("chown",)),
    "owner and mode": ("shipped.conf", _access(1, 0o666), OPEN, ("chown-and-chmod", "0644")),
}


@pytest.mark.parametrize("deed", DEEDS)
def test_an_undeclared_file_has_a_severity_and_a_fix(
    machine: Machine, tmp_path: Path, deed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RootFolders, "hold", lambda *_: True)
    name, do, severity, fix = DEEDS[deed]
    (tmp_path / "etc").mkdir()
    path = tmp_path / "etc" / name
    (tmp_path / "etc" / "shipped.conf").touch(0o644)
    do(path)
    found = told(machine, path)
    assert (found.severity, found.fix) == (severity, fix)
    monkeypatch.setattr(RootFolders, "hold", lambda *_: False)
    assert told(machine, path).fix == ("by-hand",)
    changed = told(machine, path, str(path))
    assert changed.fix == (("by-hand",) if found.changed else ()), "nobody removes what was there before"


def test_ucf_restores_a_file_whose_package_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    gone = undeclared.look(path, ["sum"])
    assert gone
    assert gone.fix == ("from-ucf",)
    path.mkdir()
    found = undeclared.look(path, ["sum"])
    assert found
    assert found.fix == ("from-ucf-over-folder",)


def test_an_acceptance_without_effect_is_removed_from_the_settings() -> None:
    (found,) = undeclared.told({}, None, ["/etc/x"]).values()
    assert (found.text, found.severity, found.fix) == (undeclared.WITHOUT_EFFECT, COSMETIC, ("unaccept",))


def test_a_links_target_is_quoted_and_its_mark_is_as_in_earlier_records(
    machine: Machine, tmp_path: Path
) -> None:
    (tmp_path / "etc").mkdir()
    path = tmp_path / "etc" / "new.conf"
    path.symlink_to('x" — up removes it')
    found = told(machine, path)
    assert found.text == 'a link to "x\\" — up removes it"'
    assert found.mark == 'a link to x" — up removes it'


@pytest.mark.parametrize(
    ("change", "severity", "effect", "result"),
    [
        ("new", OPEN, "some", OPEN),
        ("new", OPEN, "none", COSMETIC),
        ("changed", WRONG, "some", WRONG),
        ("changed", WRONG, "named", OPEN),
        ("changed", WRONG, "none", COSMETIC),
        ("changed", OPEN, "none", OPEN),
    ],
)
def test_the_effect_of_a_file_decides_its_severity(
    change: str, severity: str, effect: str, result: str
) -> None:
    one = UndeclaredFile("x", "m", changed=change == "changed", severity=severity)
    found = one.with_effect("sets y", has_effect=effect != "none", is_named=effect == "named")
    assert (found.text, found.mark, found.severity) == ("x; sets y", "m", result)


def test_words_of_a_configuration_are_quoted_if_they_are_unusual() -> None:
    assert undeclared.plain("*.evil.com") == "*.evil.com"
    assert undeclared.plain("") == '""'
    assert undeclared.plain("a — up removes it") == '"a — up removes it"'
