"""A fake fail2ban in memory: its socket and its client, which read the files in a temporary folder."""

from __future__ import annotations

import configparser
import contextlib
import json
import pickle
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from portcullis.agent.run import Done

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

END = b"<F2B_END_COMMAND>"
CONFIG = """\
[DEFAULT]
maxretry = 5
findtime = 600
bantime = 600
banaction = nftables
ignoreip = 127.0.0.0/8 ::1
port = ssh
enabled = false

[sshd]

[web]
logpath = /var/log/nothing.log
"""


class UnknownJailError(Exception):
    """A stand-in for the class in fail2ban.exceptions, which the agent does not have."""


def listing(banned: Mapping[str, Sequence[str]]) -> str:
    """The output of `nft -j list table inet f2b-table` for these bans."""
    parts: list[object] = []
    for jail, addresses in banned.items():
        for name, mark in (("addr-set", "."), ("addr6-set", ":")):
            elements = [address for address in addresses if mark in address]
            if elements:
                parts.append({"set": {"name": f"{name}-{jail}", "elem": elements}})
                parts.append({"rule": {"expr": [{"match": {"right": f"@{name}-{jail}"}}]}})
    return json.dumps({"nftables": parts})


@dataclass
class FakeFail2ban:
    """A fake server of fail2ban.

    `jails` has the running jails with their values, and `calls` has the commands that were run.
    """

    folder: Path
    socket_path: Path
    jails: dict[str, dict[str, str]] = field(default_factory=dict)
    banned: dict[str, list[str]] = field(default_factory=dict)
    calls: list[list[str]] = field(default_factory=list)
    broken: str = ""
    rules: str = ""
    failed: list[int] = field(default_factory=list)
    ignored_by_reload: bool = False
    silent: bool = False  # like a version that does not log when a jail has read the whole journal
    logtarget: str = ""
    loglevel: str = "INFO"
    lets_go: list[tuple[str, str]] = field(default_factory=list)  # bans that end when nft is called
    _listener: socket.socket | None = None

    def write(self) -> None:
        (self.folder / "jail.d").mkdir(parents=True)
        (self.folder / "jail.conf").write_text(CONFIG)
        self.log.touch()
        (self.folder / "jail.d" / "defaults-debian.conf").write_text("[sshd]\nenabled = true\n")
        (self.folder / "jail.d" / "zz-portcullis.conf").write_text("[sshd]\nenabled = false\n")

    def start(self) -> None:
        self.socket_path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.socket_path))
        self._listener.listen()
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()
        for jail in self.read().sections():
            self.reload(jail)

    def stop(self) -> None:
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.jails.clear()

    def read(self) -> configparser.RawConfigParser:
        config = configparser.RawConfigParser(strict=False)
        jail_d = self.folder / "jail.d"
        config.read(
            [self.folder / "jail.conf", *sorted(jail_d.glob("*.conf")), self.folder / "jail.local",
             *sorted(jail_d.glob("*.local"))]
        )  # fmt: skip
        return config

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def say(self, jail: str) -> None:
        """Log that a jail has read the whole journal."""
        with self.log.open("a") as log:
            log.write(f"INFO [{jail}] Jail is in operation now (process new journal entries)\n")

    def reload(self, jail: str) -> None:
        config = self.read()
        if config.has_section(jail) and config.getboolean(jail, "enabled"):
            self.jails[jail] = dict(config.items(jail))
            if self.ignored_by_reload:
                self.jails[jail]["maxretry"] = "5"
        else:
            self.jails.pop(jail, None)

    def __call__(self, argv: Sequence[str], *, timeout: float, env: Mapping[str, str] | None = None) -> Done:
        del env
        assert timeout > 0
        self.calls.append(list(argv))
        if argv[0] == "systemctl":
            return Done(0 if self._listener else 3, "", "")
        if argv[0] == "dpkg-query":
            return Done(1, "", "")
        if argv[0] == "nft":
            while self.lets_go:
                jail, address = self.lets_go.pop()
                self.banned[jail].remove(address)
            return Done(0, self.rules, "") if self.rules else Done(1, "", "No such file or directory")
        assert argv[0] == "fail2ban-client"
        if argv[1] == "-t":
            bad = self.broken and self.broken in "".join(
                path.read_text() for path in (self.folder / "jail.d").iterdir()
            )
            return Done(255, "", "ERROR Unable to read the filter") if bad else Done(0, "OK", "")
        if self._listener is None:
            return Done(255, "", "Failed to access socket path")
        if argv[1] == "reload":
            self.reload(argv[-1])
            self.rules = listing(self.banned)
            if not self.silent:
                self.say(argv[-1])
        if argv[1] == "stop":
            self.jails.pop(argv[-1], None)
        return Done(0, "OK", "")

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                self._speak(connection)

    def _speak(self, connection: socket.socket) -> None:
        said = b""
        while True:
            piece = connection.recv(4096)
            if not piece:
                return
            said += piece
            if said.endswith(END):
                words = pickle.loads(said[: -len(END)])  # noqa: S301
                said = b""
                try:
                    reply: tuple[int, Any] = (0, self.answer(words))
                except UnknownJailError as error:
                    reply = (1, error)
                connection.sendall(pickle.dumps(reply) + END)

    def answer(self, words: list[str]) -> Any:  # noqa: C901, PLR0911 - a case for each question
        """Answer like the server of fail2ban 1.1.0, with the same types."""
        if words == ["status"]:
            return [("Number of jail", len(self.jails)), ("Jail list", ", ".join(sorted(self.jails)))]
        if words[0] == "status":
            failed = self.failed.pop(0) if self.failed else 0
            return [("Filter", [("Currently failed", 0), ("Total failed", failed)]), ("Actions", [])]
        server = {"version": "1.1.0", "loglevel": self.loglevel, "logtarget": self.logtarget or str(self.log)}
        if words[-1] in server:
            return server[words[-1]]
        _, jail, name, *more = words
        if jail not in self.jails:
            raise UnknownJailError(jail)
        values = self.jails[jail]
        if name == "ignoreip":
            return [Address(text) for text in values["ignoreip"].split()]
        if name == "banip":
            return [Address(text) for text in self.banned.get(jail, [])]
        if name == "actions":
            return [values["banaction"].partition("[")[0]]
        if name == "action":
            return values.get(more[1])
        if name == "journalmatch":
            return [part.split() for part in values.get(name, "").split(" + ")] if name in values else []
        if name == "logpath":
            return values.get(name, "").split()
        if name in ("maxretry", "findtime", "bantime"):
            return int(values[name])
        if name == "bantime.increment":
            return values[name] == "true" if name in values else None
        return values.get(name)


class Address:
    """An address. Like fail2ban's IPAddr, it becomes a plain string when it is pickled."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (self.text,)
