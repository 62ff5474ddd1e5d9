"""Each word of a printed command is a constant, quoted and the entry's own, or the name of a package."""

from __future__ import annotations

import os
import shlex
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from portcullis.agent import undeclared
from portcullis.agent.root_folders import RootFolders
from portcullis.cli.report.differences import clean
from tests.cli.report.streams import Stream
from tests.fuzz.texts import is_utf8, texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACKAGE = "nginx-common"
CONSTANTS = frozenset(
    [
        "&&",
        "|",
        "rm",
        "-r",
        "cd",
        "apt-get",
        "download",
        "dpkg-deb",
        "--fsys-tarfile",
        "tar",
        "-xC",
        "/",
        "cp",
        "--remove-destination",
        "chown",
        "root:root",
        "chmod",
        "0644",
        "0755",
        "systemctl",
        "reload",
        "disable",
        "nginx",
        "docker",
        "network",
        "service",
        "-f",
        "nftables.service",
    ]
) | {"$(mktemp -d)"}
EMPTY = "d41d8cd98f00b204e9800998ecf8427e"

names = texts("evil.conf", "$(id).conf", "x, where sudo brings a file", "-rf", "a b;c").filter(
    lambda name: is_utf8(name) and 0 < len(name.encode()) < 100 and not set("/\0") & set(name)
    and name not in (".", "..")
)  # fmt: skip
targets = texts(
    "x, not as /etc/shadow has it",
    "/srv/x, where sudo brings a file",
    "x; without effect",
    "nobody declared it; mode 0777, where 0666 is usual",
    "gone; sudo brings it",
).filter(lambda target: is_utf8(target) and 0 < len(target.encode()) < 1000 and "\0" not in target)


def _link(path: Path, target: str) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def _folder(path: Path, _: str) -> None:
    path.unlink()
    path.mkdir()


DEEDS: dict[str, tuple[bool, Callable[[Path, str], object]]] = {
    "a link": (False, _link),
    "a file": (False, lambda path, text: path.write_text(text)),
    "a link in place of a file": (True, _link),
    "a changed file": (True, lambda path, text: path.write_text(f"{text}x")),
    "a file that is gone": (True, lambda path, _: path.unlink()),
    "a folder in place of a file": (True, _folder),
    "a mode": (True, lambda path, _: path.chmod(0o666)),
    "an owner": (True, lambda path, _: os.chown(path, 1, 1)),
}


def told(folder: Path, name: str, target: str, words: str, deed: str) -> dict[str, undeclared.UndeclaredFile]:
    """Return what the agent tells of a folder in which somebody did a deed."""
    path = folder / name
    is_shipped, do = DEEDS[deed]
    if is_shipped:
        path.touch(0o644)
    do(path, target)
    shipped = {str(path): SimpleNamespace(digest=EMPTY, package=PACKAGE)} if is_shipped else {}
    store: Any = SimpleNamespace(folder=lambda *_: folder / "none")
    machine: Any = SimpleNamespace(dpkg=folder)
    with mock.patch("portcullis.agent.packaged.conffiles", return_value=shipped):
        found = undeclared.read(machine, store, folder)
    return undeclared.told({key: one.with_effect(words) for key, one in found.items()}, None, ())


def commands(
    kind: str, declared: dict[str, Any], live: dict[str, Any], **outputs: Any
) -> Iterator[tuple[str, list[str]]]:
    """Yield each entry's name in the report, and the words of its command."""
    report = Stream().thing(kind, "x", declared, {**declared, **live}, declared, outputs).report()
    for line in report.differences:
        _, _, command = line.remedy.partition("yourself: ")
        lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
        lexer.commenters, lexer.whitespace_split = "", True
        yield line.subject, list(lexer)


@given(name=names, target=targets, words=targets, deed=st.sampled_from(sorted(DEEDS)))
def test_each_word_of_a_command_for_an_undeclared_file_is_ours_or_the_entrys_own(
    name: str, target: str, words: str, deed: str
) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(RootFolders, "hold", return_value=True),
    ):
        path = f"{folder}/{name}"
        found = told(Path(folder), name, target, words, deed)
        live, fixes = {"undeclared": undeclared.texts(found)}, undeclared.fixes(found)
    own = {path, f".{path}", f"/var/lib/ucf/cache/{path.replace('/', ':')}"}
    for subject, said in commands("ServedSites", {"undeclared": {}}, live, fixes=fixes):
        if subject not in (path, undeclared.quoted(path)):
            assert not said, "a name that cannot be shown has no command"
        assert set(said) <= CONSTANTS | own | {PACKAGE, f"{PACKAGE}_*.deb"}, said


@given(name=names, target=targets, words=targets, deed=st.sampled_from(sorted(DEEDS)))
def test_a_path_in_a_folder_of_others_is_in_no_command(name: str, target: str, words: str, deed: str) -> None:
    with tempfile.TemporaryDirectory() as folder:  # below /tmp, which is everybody's
        found = told(Path(folder), name, target, words, deed)
        live, fixes = {"undeclared": undeclared.texts(found)}, undeclared.fixes(found)
    for _, said in commands("ServedSites", {"undeclared": {}}, live, fixes=fixes):
        assert not said


@given(network=names, owner=texts('container "leak" (mysql:8)', 'service "x" (y)', 'process "x" (mallory)'))
def test_each_word_of_a_command_for_an_exposed_thing_is_ours_or_its_own(network: str, owner: str) -> None:
    network, owner = clean(network), clean(owner)
    declared: dict[str, Any] = {"listeners": {}, "published": {}, "networks": {}}
    key = "tcp4 0.0.0.0:9000"
    for name, live in (
        ("listeners", {key: owner}),
        ("published", {key: owner}),
        ("networks", {network: owner}),
    ):
        for _, said in commands("Exposure", declared, {name: live}):
            quoted = owner.split('"')[1:2]
            assert set(said) <= {*CONSTANTS, network, *quoted}, said


@given(texts("nftables.service is enabled"))
def test_each_word_of_a_command_for_a_conflict_is_ours_or_the_units(conflict: str) -> None:
    conflict = clean(conflict)
    for _, said in commands("ForwardFilter", {"table": "x"}, {"conflict": conflict}):
        assert set(said) <= {*CONSTANTS, conflict.partition(" ")[0]}, said
