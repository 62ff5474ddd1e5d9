"""No user of a host writes a command, or the end of a line, of the inventory's report."""

from __future__ import annotations

import base64
import os
import re
import shlex
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import example, given
from hypothesis import strategies as st

from portcullis.agent.root_folders import RootFolders
from portcullis.agent.wire import encode
from portcullis.components.inventory import on_host, remedies, report_lines
from portcullis.components.inventory.facts import MAPS
from portcullis.components.inventory.on_host import accounts, baseline, files
from portcullis.components.users.on_host import authorized_keys
from portcullis.printable import printable_values
from portcullis.provider.changes import Change, Line, path_of
from tests.components.inventory.looking import Host
from tests.fuzz.texts import texts

if TYPE_CHECKING:
    from portcullis.components.inventory.on_host.look import Found

MALLORY = 1001
HOME = "/home/mallory"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g"
CANARY = " canary \N{BIRD}"
"""A part of each text that the user writes. With its space, it is in quotes wherever it stands."""
QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
CONSTANTS = {word for _, form in remedies._ACTIONS.values() for word in shlex.split(form) if "{" not in word}
STATUS = (
    "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n"
    "Conffiles:\n /etc/skel/.bashrc 401b30e3b8b5d629635a5c613cdb7919\n\n"
)


def host(root: Path, name: str, target: str, comment: str, options: str) -> Host:
    """Make a host with a user whose files have hostile names, targets and comments, and with a file of root."""
    made = Host(root)
    made.write("etc/passwd", f"root:x:0:0::/root:/bin/sh\nmallory:x:{MALLORY}:{MALLORY}::{HOME}:/bin/sh\n")
    made.write("etc/group", "root:x:0:\nshadow:x:42:\n")
    os.chown(made.write("etc/shadow", "root:*:1\nmallory:*:1\n", 0o640), 0, 42)
    made.write("etc/skel/.bashrc", "x\n")
    made.write("var/lib/dpkg/status", STATUS)
    made.write("var/lib/dpkg/info/bash.list", "/.\n/etc/skel\n/etc/skel/.bashrc\n")
    made.write("etc/cron.d/evil", "x")
    made.write("root/.ssh/authorized_keys", f"{KEY}\n")
    home = root / HOME.lstrip("/")
    (home / ".local/bin").mkdir(parents=True)
    (home / ".ssh").mkdir()
    bash = home / ".bashrc"
    bash.symlink_to(target)
    for place, made_by in ((home / ".local/bin" / name, os.symlink), (home / ".ssh" / name, None)):
        try:
            made_by(target, place) if made_by else place.write_text("x")
        except (OSError, ValueError):
            continue  # no file can have this name or target
    lines = (f"{options} {KEY} {comment}", f"{KEY} {comment}")
    text = "\n".join(line.replace("\n", " ") for line in lines).encode("utf-8", "surrogatepass")
    (home / ".ssh/authorized_keys").write_bytes(text + b"\n")
    for folder, folders, names in os.walk(home):
        for each in (".", *folders, *names):
            os.chown(Path(folder) / each, MALLORY, MALLORY, follow_symlinks=False)
    return made


def as_path(text: str) -> str:
    """Return a text that can be the name of a file, or the target of a link."""
    encoded = f"{text}{CANARY}".replace("\0", "").encode("utf-8", "surrogatepass")
    return encoded[-200:].decode("utf-8", "surrogateescape")


def lines(found: Found, root: Path) -> list[Line]:
    """Return the lines of the report, as the host's answer and the provider make them."""
    folders = RootFolders(root)
    maps = {name: on_host._shown(found.get(name, {})) for name in MAPS}
    advice = {name: encode(on_host._advice(found.get(name, {}), folders)) for name in MAPS}
    live: dict[str, Any] = printable_values(maps)
    paths = frozenset(path_of(name) for name in MAPS)
    outputs = printable_values({"advice": advice})
    nothing: dict[str, Any] = {name: {} for name in MAPS}
    return report_lines.lines(
        Change("Inventory", "i", "update", nothing, live, nothing, paths, paths, "web1", outputs)
    )


@given(
    name=texts("foo", ".bashrc", "x — stays; remove it yourself: rm -rf "),
    target=texts("x, not as /etc/shadow has it", "/usr/bin/x, Debian's leads to /etc/shadow"),
    comment=texts("me@laptop", 'x", in /etc/passwd (changed 2026-11-27T08:00:12Z, who: unknown)'),
    options=texts('from="203.0.113.7"', 'command="x, in /etc/passwd"'),
)
@example(
    "foo", "x, not as /etc/shadow has it", "x, in /etc/passwd (changed 2026-11-27T08:00:12Z, who: y)", ""
)
@example("foo", "/usr/bin/x, was: link to /etc/shadow", 'x", in /etc/passwd', 'from="x, in /etc/passwd"')
def test_a_user_writes_no_word_of_a_command_and_nothing_outside_of_quotes(
    name: str, target: str, comment: str, options: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        look = host(
            root, as_path(name.replace("/", "|")), as_path(target), f"{comment}{CANARY}", options
        ).look()
        found: Found = {
            "files": {**files.read(look)["files"], **files.read_homes(look)["files"]},
            **accounts.read(look),
            **accounts.read_keys(look),
        }
        before = {
            each: {
                key: replace(entry, text=f"{entry.text}, once", state={"target": "/etc/shadow"})
                for key, entry in entries.items()
            }
            for each, entries in found.items()
        }
        changed = baseline.differences(found, baseline.Baseline("", "", before), lambda _name, _key: True)
        seen = {line.subject for line in lines(found, root)}
        assert "/etc/cron.d/evil" in seen
        assert any(HOME in subject for subject in seen)
        for line in (*lines(found, root), *lines(changed, root)):
            said = f"{line.subject}: {line.what}"
            assert "canary" not in QUOTED.sub("", said), said
            _, _, way = line.remedy.partition(" yourself: ")
            own = {line.subject, "mallory", "/root/.ssh/authorized_keys", "/etc/shadow", "bash"}
            words = {word for word in shlex.split(way) if not re.fullmatch(r"\\\|[A-Za-z0-9+/]+\|d", word)}
            assert words <= CONSTANTS | own, way
            assert HOME not in way, "its user could redirect the command"


ENDS_AS_KEY = base64.b64encode(b"\0\0\0\5abc-x\0\0\0" + base64.b64decode(KEY.split()[1])[-12:]).decode()
KEYS = (
    KEY,
    f"{KEY} deploy",
    f"restrict {KEY}",
    KEY.replace("AAECAwQF", "AAECAwQG"),
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5",  # cut off while it was pasted
    f"abc-x {ENDS_AS_KEY}",
    f"# {KEY[-16:]}",
)


@given(st.lists(st.sampled_from(KEYS) | texts(*KEYS), min_size=1, max_size=6).map("\n".join))
@example(f"{KEYS[4]}\n{KEYS[5]}")
@example(f"{KEY}\n{KEYS[6]}")
@example(f"{KEY} a\n# {KEY[-16:]}")
@example(f"{KEY}\nssh-ed25519 {KEY.split()[1][:-9]}\v{KEY[-9:]}")
def test_the_command_for_a_key_removes_the_line_of_this_key_only(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        look = host(root, "x", "x", "", "").look()
        file = root / "root/.ssh/authorized_keys"
        data = text.encode("utf-8", "surrogatepass")
        file.write_bytes(data)
        own = [line for line in data.split(b"\n") if _key(line)]
        for (name, entry), line in zip(accounts.read(look)["keys"].items(), own, strict=True):
            file.write_bytes(data)
            command = remedies.command("keys", on_host._offered(RootFolders(root), name, entry.fixes))
            if not command.startswith("sed "):
                assert command in ("editor /root/.ssh/authorized_keys", "")
                continue
            subprocess.run(["sh", "-c", command.replace("/root/", f"{root}/root/")], check=True)
            left = data.split(b"\n")
            left.remove(line)
            assert file.read_bytes().rstrip(b"\n") == b"\n".join(left).rstrip(b"\n")


def _key(line: bytes) -> authorized_keys.Key | None:
    return authorized_keys.parse(line.decode("utf-8", "surrogateescape"))
