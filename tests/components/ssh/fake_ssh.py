"""A host with an sshd, systemd and ufw in memory, on files in a temporary folder.

This sshd follows sshd_config(5) as far as the tests need. The first line of an option wins, but some options
are cumulative. A Match block for a user wins over both. tests/e2e/access proves that the real sshd does the
same.
"""

from __future__ import annotations

import fnmatch
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.agent.errors import AgentError
from portcullis.agent.run import Done
from portcullis.components.ssh.on_host.sshd_config import read_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULTS = {
    "permitrootlogin": "without-password", "passwordauthentication": "yes", "maxauthtries": "6",
    "maxsessions": "10", "x11forwarding": "no", "loglevel": "INFO", "hostkey": "rsa ecdsa ed25519",
}  # fmt: skip
CUMULATIVE = {
    "port", "hostkey", "listenaddress", "allowusers", "denyusers", "allowgroups", "denygroups", "acceptenv",
}  # fmt: skip
SPELLINGS = {"prohibit-password": "without-password"}
RULES = {"allow", "limit", "deny"}


def now() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


@dataclass
class FakeSsh:
    """`listening` has the ports of the running sshd, `others` the ports of other programs."""

    etc: Path
    installed: bool = True
    socket: bool = False
    ufw: bool = False
    running: bool = True
    listening: set[str] = field(default_factory=lambda: {"22"})
    others: dict[str, str] = field(default_factory=dict)
    main_pid: int = 88
    executed: int = 0  # the number of times that sshd has executed itself again, each time with new sockets
    slow: int = 0  # the number of reads after a reload that still see the old sockets
    said_by_ss: str = ""  # the output of ss; "" stands for `listening` and `others`
    changed: int = field(default_factory=now)
    invocation: str = "first"
    calls: list[str] = field(default_factory=list)
    passes: list[str] | None = None
    """Rules of the forward filter's chain `input`, or None if nft is not installed."""

    def __post_init__(self) -> None:
        (self.etc / "ssh/sshd_config.d").mkdir(parents=True)
        self.main.write_text(
            f"# Debian's\nInclude {self.etc}/ssh/sshd_config.d/*.conf\n\nX11Forwarding yes\n"
        )
        if self.ufw:
            (self.etc / "ufw").mkdir()
            self.ufw_shipped.mkdir()
            (self.etc / "ufw/ufw.conf").write_text("ENABLED=no\n")
            self._save({"v4": {}, "v6": {}})

    @property
    def ufw_shipped(self) -> Path:
        return self.etc.parent / "share-ufw"

    @property
    def run_folder(self) -> Path:
        return self.etc.parent / "sshd"

    @property
    def main(self) -> Path:
        return self.etc / "ssh/sshd_config"

    def drop_in(self, name: str = "10-portcullis.conf") -> Path:
        return self.etc / "ssh/sshd_config.d" / name

    def __call__(self, argv: Sequence[str], *, timeout: float, env: Mapping[str, str] | None = None) -> Done:
        del env
        assert timeout > 0
        words = [word for word in argv if word != "--no-pager"]
        answer = getattr(self, f"_{words[0]}", None)
        if answer is None:
            raise AgentError("invalid", f"there is no program {words[0]} on the host")
        done: Done = answer(words[1:])
        return done

    def _nft(self, words: list[str]) -> Done:
        if self.passes is None:
            raise AgentError("invalid", "there is no program nft on the host")
        if words == ["-s", "list", "chain", "inet", "portcullis", "input"]:
            rules = "".join(f"\t\t{rule}\n" for rule in self.passes)
            return Done(0, f"table inet portcullis {{\n\tchain input {{\n{rules}\t}}\n}}\n", "")
        (command,) = words
        self.calls.append(f"nft {command}")
        self.passes.insert(0, command.removeprefix("insert rule inet portcullis input "))
        return Done(0, "", "")

    def _sshd(self, words: list[str]) -> Done:
        if not self.installed:
            raise AgentError("invalid", "there is no program sshd on the host")
        if not self.running and not self.run_folder.exists():
            return Done(255, "", "Missing privilege separation directory: /run/sshd")
        path = Path(words[words.index("-f") + 1]) if "-f" in words else self.main
        user = words[-1].partition("user=")[2].partition(",")[0] if "-C" in words else "root"
        lines = read_lines(path)
        for line in lines:
            if line.keyword == "broken":
                return Done(255, "", f"{line.place}: Bad configuration option: Broken")
        options: dict[str, list[str]] = {}
        for given in [words[i + 1] for i, word in enumerate(words) if word == "-o"]:
            key, _, value = given.partition("=")
            options[key.lower()] = [value]
        for line in lines:
            if not line.match and (line.keyword in CUMULATIVE or line.keyword not in options):
                options.setdefault(line.keyword, []).append(line.value_alone)
        first: set[str] = set()
        for line in lines:
            named = fnmatch.fnmatchcase(f"user {user}", line.match.lower())
            if (named or line.match.lower() == "all") and line.keyword not in first:
                first.add(line.keyword)
                options[line.keyword] = [line.value_alone]
        addresses = options.pop("listenaddress", [])
        ports = options.setdefault("port", ["22"])
        told = {key: [value] for key, value in DEFAULTS.items()} | options
        told["listenaddress"] = [a if ":" in a else f"{a}:{p}" for a in addresses or ["*"] for p in ports]
        out = "\n".join(
            f"{key} {SPELLINGS.get(value, value)}"
            for key, values in told.items()
            for value in dict.fromkeys(values)
        )
        return Done(0, out if "-T" in words else "", "")

    def configured(self) -> set[str]:
        said = self._sshd(["-T"]).out
        return {line.rpartition(":")[2] for line in said.splitlines() if line.startswith("listenaddress")}

    def _systemctl(self, words: list[str]) -> Done:
        if words[0] == "is-active":
            return Done(0 if self.socket else 3, "", "")
        if words[0] == "show":
            listen = "".join(f"Listen=[::]:{port} (Stream)\n" for port in sorted(self.listening))
            unit = (
                f"Id=ssh.service\nMainPID={self.main_pid}\nActiveState=active\nInvocationID={self.invocation}\nReloadResult=success\n"
                f"ActiveEnterTimestampMonotonic=1\nStateChangeTimestampMonotonic={self.changed}\n"
            )
            return Done(0, listen if words[-1] == "ssh.socket" else unit, "")
        self.calls.append(" ".join(words))
        # With socket activation, only a restart of the socket unit changes the ports.
        self.running = True
        if (words == ["restart", "ssh.socket"]) if self.socket else (words[0] == "reload-or-restart"):
            self.reload()
        return Done(0, "", "")

    def reload(self) -> None:
        time.sleep(0.01)
        self.executed += not self.slow
        self.listening = self.configured() - set(self.others)
        self.changed = now()

    def restart(self) -> None:
        self.reload()
        self.invocation = uuid.uuid4().hex

    def _ss(self, words: list[str]) -> Done:
        if self.slow:
            self.slow -= 1
            self.executed += not self.slow
        name = "systemd" if self.socket else "sshd"
        pid = 1 if self.socket else self.main_pid
        owners = dict.fromkeys(self.listening, (name, pid))
        owners |= {port: (who, 4000 + number) for number, (port, who) in enumerate(self.others.items())}
        lines = [
            f'LISTEN 0 128 0.0.0.0:{port} 0.0.0.0:* users:(("{who}",pid={pid},fd=3))'
            + (f" ino:{self.executed * 100_000 + int(port)} sk:1 cgroup:/ <->" if "-Htlnpe" in words else "")
            for port, (who, pid) in owners.items()
        ]
        return Done(0, self.said_by_ss or "\n".join(lines), "")

    def _journalctl(self, _words: list[str]) -> Done:
        return Done(0, "sshd[1]: said\n", "")

    def _ufw(self, words: list[str]) -> Done:
        """ufw keeps one rule for each port, with or without a comment. A new action replaces the rule."""
        self.calls.append("ufw " + " ".join(words))
        action = next(word for word in words if word in RULES)
        port = words[words.index("port") + 1]
        comment = words[words.index("comment") + 1] if "comment" in words else ""
        rules = self.rules()
        for family in rules.values():
            if "delete" in words:
                family.pop(port, None)
            else:
                family[port] = (action, comment)
        self._save(rules)
        return Done(0, "Rules updated\n", "")

    def rules(self) -> dict[str, dict[str, tuple[str, str]]]:
        found: dict[str, dict[str, tuple[str, str]]] = {}
        for family, name in (("v4", "user.rules"), ("v6", "user6.rules")):
            found[family] = {}
            for line in (self.etc / "ufw" / name).read_text().splitlines():
                words = line.split()
                if not words:
                    continue
                told = bytes.fromhex(words[-1].partition("=")[2]).decode() if "comment=" in line else ""
                found[family][words[5]] = (words[3], told)
        return found

    def _save(self, rules: dict[str, dict[str, tuple[str, str]]]) -> None:
        for family, name, net in (("v4", "user.rules", "0.0.0.0/0"), ("v6", "user6.rules", "::/0")):
            lines = [
                f"### tuple ### {action} tcp {port} {net} any {net} in"
                + (f" comment={comment.encode().hex()}" if comment else "")
                for port, (action, comment) in rules[family].items()
            ]
            (self.etc / "ufw" / name).write_text("\n".join(lines) + "\n")
