"""Accounts in a temporary /etc, with fakes of the programs that change them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from portcullis.agent.run import Done

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SUDOERS = """\
Defaults\tenv_reset
Defaults\tmail_badpass
Defaults\tsecure_path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
Defaults\tuse_pty
root\tALL=(ALL:ALL) ALL
# Allow members of group sudo to execute any command
%sudo\tALL=(ALL:ALL) ALL
@includedir /etc/sudoers.d
"""
# The options that the agent may pass to each program. The real programs fail with an unknown option.
OPTIONS = {
    "useradd": {
        "--uid", "--gid", "--home-dir", "--shell", "--password", "--create-home", "--no-create-home",
        "--user-group", "--system", "--non-unique", "--groups",
    },
    "groupadd": {"--gid", "--system"},
    "usermod": {"-L", "-U", "-p", "-s", "-g"},
    "gpasswd": {"-a", "-d"},
    "userdel": {"-f", "-r"},
    "loginctl": {"terminate-user"},
    "sshd": {"-T", "-C"},
}  # fmt: skip


@dataclass
class FakeAccounts:
    """`fail` maps a program to its message. A program in `fail` fails with that message."""

    etc: Path
    keys_file: str = ".ssh/authorized_keys .ssh/authorized_keys2"
    calls: list[list[str]] = field(default_factory=list)
    fail: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.etc / "sudoers.d").mkdir(parents=True)
        (self.etc / "sudoers").write_text(SUDOERS)
        (self.etc / "sudoers.d" / "README").write_text("# as shipped\n")
        self._save("passwd", ["root:x:0:0:root:/root:/bin/bash"])
        self._save("shadow", ["root:*:20000:0:99999:7:::"])
        self._save("group", ["root:x:0:", "sudo:x:27:", "docker:x:990:", "games:x:60:", "nogroup:x:65534:"])

    def __call__(self, argv: Sequence[str], *, timeout: float, env: Mapping[str, str] | None = None) -> Done:
        del env
        assert timeout > 0
        self.calls.append(list(argv))
        if argv[0] in OPTIONS:
            given = {word.partition("=")[0] for word in argv[1:] if word.startswith("-")}
            assert (given or {argv[1]}) <= OPTIONS[argv[0]] or argv[0] == "userdel", argv
        if argv[0] in self.fail:
            return Done(1, "", self.fail[argv[0]])
        if argv[0] == "sshd":
            return Done(0, f"port 22\nauthorizedkeysfile {self.keys_file}\nusepam yes\n", "")
        change = getattr(self, argv[0], None)
        if change is not None:
            change(list(argv[1:]))
        return Done(0, "", "")

    def said(self, program: str) -> list[list[str]]:
        return [call[1:] for call in self.calls if call[0] == program]

    def lines(self, name: str) -> list[list[str]]:
        return [line.split(":") for line in (self.etc / name).read_text().splitlines()]

    def field(self, file: str, name: str, index: int) -> str:
        return next(line[index] for line in self.lines(file) if line[0] == name)

    def useradd(self, argv: list[str]) -> None:
        name = argv[-1]
        options = dict(word.partition("=")[::2] for word in argv[:-1])
        uid = options.get("--uid", "") or str(4000 + len(self.lines("passwd")))
        home = options["--home-dir"]
        gid = options.get("--gid", uid)
        if "--user-group" in options:
            self._save("group", [*map(":".join, self.lines("group")), f"{name}:x:{uid}:"])
        elif not gid.isdigit():
            gid = self.field("group", gid, 2)
        line = f"{name}:x:{uid}:{gid}::{home}:{options['--shell']}"
        self._save("passwd", [*map(":".join, self.lines("passwd")), line])
        self._save("shadow", [*map(":".join, self.lines("shadow")), f"{name}:{options['--password']}:::::::"])
        if "--create-home" in options:
            self.make_home(home, int(uid))

    def make_home(self, home: str, uid: int) -> None:
        path = self.etc.__class__(home)
        if not path.exists():
            path.mkdir(mode=0o755)
            shutil.chown(path, uid, uid)

    def usermod(self, argv: list[str]) -> None:
        option, *value, name = argv
        if option in ("-L", "-U", "-p"):
            have = self.field("shadow", name, 1)
            self._set(
                "shadow",
                name,
                1,
                {"-L": f"!{have}", "-U": have.lstrip("!"), "-p": (value or [""])[0]}[option],
            )
        elif option == "-s":
            self._set("passwd", name, 6, value[0])
        elif option == "-g":
            self._set("passwd", name, 3, self.field("group", value[0], 2))

    def sh(self, argv: list[str]) -> None:
        """``-c SCRIPT FILE COMMAND…`` runs the command if the file exists."""
        assert argv[:2] == ["-c", '[ ! -e "$0" ] || exec "$@"']
        if self.etc.__class__(argv[2]).exists():
            self(argv[3:], timeout=1)

    def userdel(self, argv: list[str]) -> None:
        home = self.field("passwd", argv[-1], 5)
        for file in ("passwd", "shadow"):
            self._save(file, [":".join(line) for line in self.lines(file) if line[0] != argv[-1]])
        if "-r" in argv:
            shutil.rmtree(home)

    def groupadd(self, argv: list[str]) -> None:
        if argv[-1] not in [line[0] for line in self.lines("group")]:
            gid = argv[0].partition("=")[2] or "900"
            self._save("group", [*map(":".join, self.lines("group")), f"{argv[-1]}:x:{gid}:"])

    def gpasswd(self, argv: list[str]) -> None:
        how, name, group = argv
        members = {word for word in self.field("group", group, 3).split(",") if word}
        members = members | {name} if how == "-a" else members - {name}
        self._set("group", group, 3, ",".join(sorted(members)))

    def _set(self, file: str, name: str, index: int, value: str) -> None:
        lines = self.lines(file)
        for line in lines:
            if line[0] == name:
                line[index] = value
        self._save(file, [":".join(line) for line in lines])

    def _save(self, name: str, lines: list[str]) -> None:
        (self.etc / name).write_text("".join(f"{line}\n" for line in lines))
