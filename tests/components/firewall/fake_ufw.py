"""A fake ufw in a folder.

The fake writes tuples like the real ufw, and its kernel has the rules that were loaded last.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from portcullis.agent.run import Done

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

HOOKS = {"INPUT": "input", "OUTPUT": "output", "FORWARD": "forward"}
PRIMARY = ("before-logging", "before", "after", "after-logging", "reject", "track")
ANY = {"4": "0.0.0.0/0", "6": "::/0"}
PREFIX = {"4": "ufw", "6": "ufw6"}


@dataclass
class FakeUfw:
    """The fake of ufw with its files and its kernel.

    The agent under test gets the folders `etc`, `shipped` and `proc_sys` of this fake.
    """

    root: Path
    calls: list[str] = field(default_factory=list)
    kernel: dict[str, str] = field(default_factory=lambda: {"4": "", "6": ""})
    fails: str = ""  # a command that begins with this text fails with exit code 1

    def __post_init__(self) -> None:
        self.etc, self.default = self.root / "etc" / "ufw", self.root / "etc" / "default" / "ufw"
        self.shipped, self.proc_sys = self.root / "share-ufw", self.root / "proc-sys"

    def install(self) -> FakeUfw:
        (self.shipped / "iptables").mkdir(parents=True)
        for folder in (self.etc, self.default.parent, self.proc_sys / "net" / "ipv6"):
            folder.mkdir(parents=True)
        for family in "46":
            end, prefix = family.replace("4", ""), PREFIX[family]
            texts = {
                "before": f"*filter\n-A {prefix}-before-input -i lo -j ACCEPT\nCOMMIT\n",
                "after": f"*filter\n-A {prefix}-after-input -p udp --dport 137 -j DROP\nCOMMIT\n",
                "user": "*filter\n### RULES ###\nCOMMIT\n",
            }
            for name, text in texts.items():
                (self.shipped / "iptables" / f"{name}{end}.rules").write_text(text)
                (self.etc / f"{name}{end}.rules").write_text(text)
        for name in ("before.init", "after.init"):
            (self.shipped / name).write_text("#!/bin/sh\n")
            (self.etc / name).write_text("#!/bin/sh\n")
        (self.etc / "ufw.conf").write_text("# on or off\nENABLED=no\nLOGLEVEL=low\n")
        self.default.write_text(
            'IPV6=yes\nDEFAULT_INPUT_POLICY="DROP"\nDEFAULT_OUTPUT_POLICY="ACCEPT"\n'
            'DEFAULT_FORWARD_POLICY="DROP"\nMANAGE_BUILTINS=no\nIPT_SYSCTL=/etc/ufw/sysctl.conf\n'
        )
        return self

    def __call__(self, argv: Sequence[str], *, timeout: float, env: Mapping[str, str] | None = None) -> Done:
        del env
        assert timeout > 0
        if argv[0] in ("iptables-save", "ip6tables-save"):
            assert argv[1:] == ["-t", "filter"], argv
            return Done(0, self.kernel["6" if "6" in argv[0] else "4"], "")
        self.calls.append(" ".join(argv))
        if self.fails and self.calls[-1].startswith(self.fails):
            return Done(1, "", "ERROR: problem running iptables")
        if argv[0] in ("iptables", "ip6tables"):
            self._iptables("6" if "6" in argv[0] else "4", list(argv[1:]))
        elif argv[0] == "/lib/ufw/ufw-init":
            assert argv[1:] == ("force-stop",), argv
            self.kernel = {"4": "", "6": ""}
        elif argv[0] not in ("systemd-run", "systemctl"):  # the guard's timer, which does not run in a test
            assert argv[0] == "ufw"
            self._ufw(list(argv[2:] if argv[1] == "--force" else argv[1:]))
        return Done(0, "", "")

    # Tests also call these methods to make changes by hand

    def run(self, line: str) -> None:
        for command in line.split(";"):
            head, _, comment = command.strip().partition(" comment ")
            self([*head.split(), *(["comment", comment] if comment else [])], timeout=1)

    def tuples(self, family: str) -> list[str]:
        return [t for t in self._user(family).read_text().splitlines() if t.startswith("### tuple ###")]

    @property
    def is_enabled(self) -> bool:
        return "ENABLED=yes" in (self.etc / "ufw.conf").read_text()

    def load(self) -> None:
        policies = dict(re.findall(r'DEFAULT_(\w+)_POLICY="(\w+)"', self.default.read_text()))
        for family, prefix in PREFIX.items():
            end = family.replace("4", "")
            lines = [
                "*filter",
                *(f":{hook} {policies[hook].replace('REJECT', 'DROP')} [0:0]" for hook in HOOKS),
            ]
            names = [f"{prefix}-{name}-{hook}" for hook in HOOKS.values() for name in (*PRIMARY, "user")]
            lines += [f":{name} - [0:0]" for name in names]
            # Like ufw-init, this adds jumps to ufw's chains once, and keeps the rules of other programs.
            old = self.kernel[family]
            if f":{prefix}-before-input" in old:
                lines += [
                    line for line in old.splitlines() if line.startswith(tuple(f"-A {h} " for h in HOOKS))
                ]
            else:
                lines += [
                    f"-A {hook} -j {prefix}-{name}-{low}" for hook, low in HOOKS.items() for name in PRIMARY
                ]
            for name in ("before", "after", "user"):
                text = (self.etc / f"{name}{end}.rules").read_text()
                lines += [line for line in text.splitlines() if line.startswith("-A")]
            lines += [f"-A {prefix}-before-{low} -j {prefix}-user-{low}" for low in HOOKS.values()]
            self.kernel[family] = "\n".join([*lines, "COMMIT", ""])

    def _user(self, family: str) -> Path:
        return self.etc / f"user{family.replace('4', '')}.rules"

    def _ufw(self, words: list[str]) -> None:
        conf = self.etc / "ufw.conf"
        if words[0] in ("enable", "disable"):
            answer = "yes" if words[0] == "enable" else "no"
            conf.write_text(re.sub("ENABLED=.*", f"ENABLED={answer}", conf.read_text()))
            self.kernel = {"4": "", "6": ""}
        elif words[0] == "logging":
            assert words[1] in ("off", "low", "medium", "high", "full"), words
            conf.write_text(re.sub("LOGLEVEL=.*", f"LOGLEVEL={words[1]}", conf.read_text()))
        elif words[0] == "default":
            hook = {"incoming": "INPUT", "outgoing": "OUTPUT", "routed": "FORWARD"}[words[2]]
            policy = {"allow": "ACCEPT", "deny": "DROP", "reject": "REJECT"}[words[1]]
            line = f'DEFAULT_{hook}_POLICY="{policy}"'
            self.default.write_text(re.sub(f"DEFAULT_{hook}_POLICY=.*", line, self.default.read_text()))
        elif words != ["reload"]:
            self._rule(words)
        if self.is_enabled:
            self.load()

    def _rule(self, words: list[str]) -> None:
        route = words[0] == "route"
        words = words[1:] if route else words
        verb = words.pop(0) if words[0] in ("delete", "insert") else ""
        position = int(words.pop(0)) if verb == "insert" else 0
        assert words[0] in ("allow", "deny", "reject", "limit"), f"ERROR: Invalid syntax: {words}"
        found = {"action": words.pop(0), "in": "", "out": "", "from": "any", "to": "any", "proto": "any"}
        found |= {"from port": "any", "to port": "any", "comment": "", "direction": "in"}
        side = ""
        while words:
            word = words.pop(0)
            if word in ("in", "out"):
                found["direction"] = word
                if words[0] == "on":
                    words.pop(0)
                    found[word] = words.pop(0)
            elif word in ("log", "log-all"):
                found["action"] += f"_{word}"
            elif word in ("from", "to"):
                side, found[word] = word, words.pop(0)
            elif word == "port":
                found[f"{side} port"] = words.pop(0)
            else:
                assert word in ("proto", "comment"), word
                found[word] = words.pop(0)
        self._write(found, verb, position, "route:" if route else "")

    def _write(self, found: dict[str, str], verb: str, position: int, route: str) -> None:
        given = [ipaddress.ip_network(a) for a in (found["from"], found["to"]) if a != "any"]
        counts = {family: len(self.tuples(family)) for family in "46"}
        families = [str(given[0].version)] if given else ["4"] if found["proto"] == "igmp" else ["4", "6"]
        for family in families:
            src, dst = (ANY[family] if a == "any" else a for a in (found["from"], found["to"]))
            if found["in"] and found["out"]:
                where = f"in_{found['in']}!out_{found['out']}"
            else:
                name = found["in"] or found["out"]
                where = f"{found['direction']}_{name}" if name else found["direction"]
            what = f"{found['proto']} {found['to port']} {dst} {found['from port']} {src} {where}"
            comment = f" comment={found['comment'].encode().hex()}" if found["comment"] else ""
            line = f"### tuple ### {route}{found['action']} {what}{comment}"
            have = self.tuples(family)
            same = next(
                (
                    number
                    for number, known in enumerate(have)
                    if f" {what} " in f"{known} " and (":" in known.split()[3]) == bool(route)
                ),
                None,
            )
            if verb == "delete":
                if same is not None and have[same].split()[3] == route + found["action"]:
                    del have[same]
            elif verb == "insert":
                assert same is None, "ufw skips inserting an existing rule"
                number = position - (counts["4"] if family == "6" else 0)
                assert 1 <= number <= counts[family], "ERROR: Invalid position"
                have.insert(number - 1, line)
            elif same is not None:
                have[same] = line
            else:
                have.append(line)
            self._save(family, have)

    def _save(self, family: str, tuples: list[str]) -> None:
        lines = ["*filter", "### RULES ###"]
        for line in tuples:
            action, proto, dport, dst, sport, src, where = line.split(" comment=")[0].split()[3:10]
            chain = "forward" if ":" in action else "output" if where.startswith("out") else "input"
            target = {"allow": "ACCEPT", "deny": "DROP", "reject": "REJECT", "limit": "ufw-user-limit-accept"}
            words = [f"-A {PREFIX[family]}-user-{chain}"]
            words += [f"-p {proto}"] * (proto != "any") + [f"-d {dst}"] * (dst != ANY[family])
            words += [f"--dport {dport}"] * (dport != "any") + [f"-s {src}"] * (src != ANY[family])
            words += [f"--sport {sport}"] * (sport != "any")
            words.append(f"-j {target[action.rpartition(':')[2].partition('_')[0]]}")
            lines += ["", line, " ".join(words)]
        self._user(family).write_text("\n".join([*lines, "", "### END RULES ###", "COMMIT", ""]))

    def _iptables(self, family: str, words: list[str]) -> None:
        lines = self.kernel[family].splitlines()
        line = " ".join(["-A", *words[1:]])
        if words[0] == "-D":
            lines.remove(line)
        else:
            assert words[0] in ("-A", "-I"), words
            lines.insert(len(lines) - 1, line)
        self.kernel[family] = "\n".join([*lines, ""])
