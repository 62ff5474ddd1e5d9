"""A package manager in memory with the output of apt and dpkg."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from portcullis.agent.run import Done

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

LOCKED = "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 4711 (unattended-upgr)\n"


@dataclass
class FakeApt:
    """A package manager in memory: `archive` maps a package to its dependencies.

    `installed` maps an installed package to its mark `automatic`. `units` maps a package to its unit files,
    which the installation enables.
    """

    archive: dict[str, list[str]]
    installed: dict[str, bool] = field(default_factory=dict)
    configured_only: set[str] = field(default_factory=set)
    conflicts: dict[str, str] = field(default_factory=dict)
    known: bool = True  # whether the package lists were fetched
    trouble: list[str] = field(default_factory=list)  # the errors of the next calls that write
    calls: list[str] = field(default_factory=list)
    recommends: dict[str, list[str]] = field(default_factory=dict)
    units: dict[str, list[str]] = field(default_factory=dict)
    early: set[str] = field(default_factory=set)  # units of early boot
    enabled: set[str] = field(default_factory=set)
    interrupted: set[str] = field(default_factory=set)  # packages whose unpacking was interrupted
    on_install: Callable[[], None] = lambda: None

    def __call__(  # noqa: PLR0911 - one for each program
        self, argv: Sequence[str], *, timeout: float, env: Mapping[str, str] | None = None
    ) -> Done:
        assert timeout > 0
        program, *words = argv
        if program == "apt-get":
            assert env is not None
            assert env["DEBIAN_FRONTEND"] == "noninteractive"
            assert "Dpkg::Options::=--force-confold" in words
            simulate = "-s" in words
            weak = "--install-recommends" in words
            assert weak or "install" not in words or "--no-install-recommends" in words
            verb, *names = [w for w in words if not w.startswith("-") and "::" not in w]
            if "--reinstall" in words:
                self.calls.append(f"reinstall {' '.join(names)}")
                self.interrupted -= set(names)
                return Done(0, "", "")
            also = [other for name in names for other in self.recommends.get(name, ())] if weak else []
            return self.apt_get(verb, names, also, simulate=simulate)
        self.calls.append(" ".join(argv))
        if program == "deb-systemd-helper":
            assert env, "it runs only for the maintainer script of a package"
        if program == "systemctl":
            return self.systemctl([word for word in words if not word.startswith("-")])
        if program == "dpkg-query" and "-L" in words:
            return Done(0, "".join(f"{path}\n" for n in words[1:] for path in self.units.get(n, ())), "")
        if program == "dpkg-query":
            if "--" in words:
                return self.query(words[words.index("--") + 1 :])
            return Done(0, "".join(f"{name}\tiHR\n" for name in sorted(self.interrupted)), "")
        if program == "apt-mark":
            return self.mark(*words)
        if program == "apt-cache":
            return Done(0, "".join(self.policy(name) for name in words[1:]), "")
        return Done(0, "", "")

    def systemctl(self, words: list[str]) -> Done:
        verb, *units = words
        if verb == "disable":
            self.enabled -= set(units)
            return Done(0, "", "")
        assert verb == "show"
        blocks = [
            f"Id={unit}\nUnitFileState={'enabled' if unit in self.enabled else 'disabled'}\n"
            f"DefaultDependencies={'no' if unit in self.early else 'yes'}\n"
            for unit in units
        ]
        return Done(0, "\n".join(blocks), "")

    def policy(self, name: str) -> str:
        if not self.known or name not in self.archive:
            return ""
        return f"{name}:\n  Installed: (none)\n  Candidate: 1\n  Version table:\n"

    def query(self, names: list[str]) -> Done:
        out = [f"{n}\tii \n" for n in names if n in self.installed]
        out += [f"{n}\trc \n" for n in names if n in self.configured_only]
        return Done(int(len(out) < len(names)), "".join(out), "dpkg-query: no packages found matching x\n")

    def mark(self, how: str, *names: str) -> Done:
        if how == "showauto":
            return Done(0, "".join(f"{n}\n" for n in names if self.installed.get(n)), "")
        for name in names:
            self.installed[name] = how == "auto"
        return Done(0, "", "")

    def closure(self, names: list[str]) -> list[str]:
        found: list[str] = []
        for name in names:
            if name not in self.installed and name not in found:
                found += [name, *(n for n in self.closure(self.archive[name]) if n not in found)]
        return found

    def dependents(self, names: list[str]) -> list[str]:
        going = [n for n in names if n in self.installed or n in self.configured_only]
        for name in going:  # the list grows during the loop
            going += [n for n in self.installed if name in self.archive[n] and n not in going]
        return going

    def unneeded(self) -> list[str]:
        kept = [n for n, automatic in self.installed.items() if not automatic]
        for name in kept:
            kept += [d for d in self.archive[name] if d not in kept and d in self.installed]
        return [n for n in self.installed if n not in kept]

    def apt_get(self, verb: str, names: list[str], also: Sequence[str] = (), *, simulate: bool) -> Done:
        self.calls.append(f"apt-get {'-s ' if simulate else ''}{' '.join([verb, *names])}")
        if not simulate and self.trouble:
            return Done(100, "", self.trouble.pop(0))
        if verb == "update":
            self.known = True
            return Done(0, "", "")
        if verb == "install":
            missing = [n for n in names if n not in self.archive]
            if missing:
                return Done(100, "", f"E: Unable to locate package {missing[0]}\n")
            new = self.closure([*names, *also])
            out = [self.conflicts[n] for n in new if self.conflicts.get(n) in self.installed]
            if not simulate:
                self.on_install()
                self.installed |= {n: n not in names for n in new}
                self.enabled |= {path.rpartition("/")[2] for n in new for path in self.units.get(n, ())}
                self.configured_only -= set(new)
                for name in out:
                    del self.installed[name]
            lines = [f"Remv {n} [1]\n" for n in out] + [f"Inst {n} (1 Debian:13 [all])\n" for n in new]
            return Done(
                0,
                "NOTE: This is only a simulation!\nInst bash [5] (6 Debian:13 [all])\n" + "".join(lines),
                "",
            )
        going = self.unneeded() if verb == "autoremove" else self.dependents(names)
        if not simulate:
            for name in going:
                self.installed.pop(name, None)
                (self.configured_only.discard if verb == "purge" else self.configured_only.add)(name)
        return Done(0, "".join(f"{'Purg' if verb == 'purge' else 'Remv'} {n} [1]\n" for n in going), "")
