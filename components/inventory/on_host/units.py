"""Reads undeclared systemd units that no package enables, and undeclared drop-ins and masks."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from portcullis.agent.errors import AgentError
from portcullis.agent.quotes import quoted
from portcullis.components.inventory.on_host import unit_files
from portcullis.components.inventory.on_host.look import Entry
from portcullis.components.inventory.on_host.unit_files import (
    MANAGERS,
    SYSTEM,
    TYPES,
    Definitions,
    covers,
    is_preset,
    template,
)
from portcullis.resources.packages.on_host.policy import DISABLED

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from portcullis.components.inventory.on_host.look import Fix, Found, Look
    from portcullis.components.inventory.on_host.unit_files import File, UnitFiles

__all__ = ["covers", "read"]

_FLUSHES = "nftables.service"
"""When this unit stops, it deletes all firewall rules of the kernel, also those of ufw, of Docker and of the
forward filter."""
_REMOVES, _RELOAD = "remove-file", ("reload-units",)
_TIMEOUT = 30.0
_STARTERS = ("timer", "socket", "path")
_GUARD = "portcullis-guard-"  # the names of `guard`'s timers begin with this text
_LIMIT = 1 << 20  # at most this number of bytes of a file is hashed
_RUNNING = ("list-units", "--type=service,timer,socket,path,target", "--state=active,activating,reloading",
            "--no-legend", "--no-pager", "--plain", "--full")  # fmt: skip
# logind starts these when somebody switches to that terminal: logind.conf(5), NAutoVTs.
_TERMINALS = re.compile(r"getty@tty\d+\.service")


@dataclass
class _Told:
    """The texts of the report about one unit."""

    texts: list[str] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    fixes: list[Fix] = field(default_factory=list)
    changed: float = 0.0
    passing: bool = False
    is_open: bool = False

    def add(self, text: str, file: File, mark: str = "") -> None:
        self.texts.append(text)
        self.marks.append(mark)
        self.changed = max(self.changed, file.changed)

    @property
    def entry(self) -> Entry:
        mark = hashlib.sha256(" ".join(self.marks).encode()).hexdigest() if any(self.marks) else ""
        # First the unit stops, and then its files go.
        fixes = sorted(dict.fromkeys(self.fixes), key=lambda fix: fix[0] == _REMOVES)
        return Entry(
            "; ".join(self.texts),
            mark,
            self.changed or None,
            self.passing,
            self.is_open,
            (*fixes, _RELOAD) if any(fix[0] == _REMOVES for fix in fixes) else tuple(fixes),
        )


def read(look: Look) -> Found:
    """Return one entry for each unit with a difference.

    The text of an entry names all differences of the unit.
    """
    shipped = look.dpkg.owners
    found: dict[str, Entry] = {}
    for manager in MANAGERS:
        for unit, told in _Manager(look, manager, shipped).told().items():
            found[unit if manager == SYSTEM else f"user {unit}"] = told.entry
    for what, file in unit_files.executed(look.machine.root, shipped):
        if not look.claims.has_path(file.path):
            does = "says what is enabled" if what == "preset" else "root runs it"
            to = f" → {quoted(file.target)}" if file.target else ""
            mark = _digest(look.machine.root / file.path.lstrip("/"))
            found[f"{what} {file.path}"] = Entry(
                f"{does}{to}{file.rights}",
                mark,
                file.changed,
                is_open=what != "preset",
                fixes=((_REMOVES, file.path), _RELOAD),
            )
    return {"units": found}


class _Manager:
    """Compares the units of one manager: systemd itself, or the instances of users."""

    def __init__(self, look: Look, manager: str, shipped: Mapping[str, str]) -> None:
        root = look.machine.root
        self._look, self._root, self._manager, self._shipped = look, root, manager, shipped
        self._files: UnitFiles = unit_files.read(root, manager, shipped)
        self._defined = Definitions(root, manager)
        self._markers = unit_files.markers(root, manager)
        self._masked = unit_files.markers(root, manager, masked=True)
        self._presets = unit_files.presets(root, manager)
        # If a declared service is enabled, the units in its Also= are enabled too.
        self._declared: frozenset[str] = self._defined.with_also(look.claims.units)
        self._told: dict[str, _Told] = {}

    def told(self) -> Mapping[str, _Told]:
        for file in self._files.units:
            self._unit(file)
        for file, wanted_by in self._files.links:
            if not self._is_explained(f"{wanted_by}/{file.unit}", file.unit, file):
                by = wanted_by.rpartition(".")[0]
                if file.masks:
                    self._tell(file.unit, f"its link masks it for {by}", file, (_REMOVES, file.path))
                else:
                    self._tell(file.unit, f"enabled for {by}", file, self._disable(file.unit), opens=True)
        for file in self._files.drop_ins:
            self._drop_in(file)
        for file in self._files.undeclared:
            if not self._look.claims.has_path(file.path):
                folder = file.path.rpartition("/")[0]
                disable = [self._disable(file.unit)] if folder.endswith(f"/{self._manager}") else []
                text, fixes = f"no package has its {file.path}", [*disable, (_REMOVES, file.path)]
                self._tell(file.unit, text, file, *fixes, content=True, opens=True)
        self._transient()
        self._disabled()
        if self._manager == SYSTEM:
            self._running()
        return self._told

    def _transient(self) -> None:
        """Report units that a command such as systemd-run made."""
        made = {file.unit for file in self._files.transient}
        for file in self._files.transient:
            stem, _, kind = file.unit.rpartition(".")
            # The entry of a timer covers the service that the same command made.
            is_told = kind == "service" and made & {f"{stem}.{other}" for other in _STARTERS}
            if not is_told and not self._is_declared(file.unit):
                text = "made by a command, such as systemd-run; gone after a boot"
                self._tell(file.unit, text, file, ("forget-unit", file.unit), opens=True)
                self._told[file.unit].passing = True

    def _unit(self, file: File) -> None:
        unit, path = file.unit, file.path
        if path in self._shipped or self._look.claims.has_path(path):
            return
        if file.masks:
            if unit not in self._masked and not self._is_declared(unit):
                is_passing = path.startswith("/run/")
                until = " until the next boot" if is_passing else ""
                action = self._action("unmask-until-boot" if is_passing else "unmask")
                self._tell(unit, f"masked{until}: it cannot start", file, (action, unit))
            return
        if file.target:
            real = file.target.rpartition("/")[2]
            if real == unit:
                # `disable` removes the link.
                text = f"unit file {quoted(file.target)}, by a link"
                self._tell(unit, text, file, self._disable(unit), content=True, opens=True)
            elif not self._is_explained(unit, real, file):
                self._tell(unit, f"another name of {quoted(file.target)}", file, (_REMOVES, path))
            return
        # If the file replaces a package's unit, the package's unit stays enabled.
        is_shipped = self._defined.is_shipped(unit)
        fixes = [*([] if is_shipped else [self._disable(unit)]), (_REMOVES, path)]
        instead = ", in place of its package's" if is_shipped else ""
        text = f"unit file {path}{instead}{file.rights}"
        self._tell(unit, text, file, *fixes, content=True, opens=True)

    def _drop_in(self, file: File) -> None:
        unit = file.unit if file.unit.endswith(TYPES) else f"{file.unit}.d"
        # Docker and logind set limits of the scopes and slices that they start.
        passes = file.path.startswith("/run/") and unit.endswith((".scope", ".slice"))
        if not (passes or file.path in self._shipped or self._look.claims.has_path(file.path)):
            text = f"drop-in {file.path}{file.rights}"
            self._tell(unit, text, file, (_REMOVES, file.path), content=True, opens=True)

    def _is_explained(self, link: str, unit: str, file: File) -> bool:
        """Return whether a link, such as ``sshd.service``, comes from a package or a declared unit."""
        if self._look.claims.has_path(file.path) or file.path in self._shipped:
            return True
        made = self._defined.links(unit)
        if link in self._markers:
            # The marker does not name the target of an alias, so we compare the alias with the unit's own
            # settings.
            return "/" in link or link in made
        if self._is_declared(unit):
            return True
        name = template(unit)
        default = self._defined.settings(name).get("DefaultInstance", [""])
        is_default = name == unit or unit_files.instance(unit) in default
        return is_default and link in made and is_preset(self._presets, name)

    def _is_declared(self, unit: str) -> bool:
        return unit in self._declared or template(unit) in self._declared or self._is_guard(unit)

    def _is_guard(self, unit: str) -> bool:
        """Return whether the agent's module `guard` made a unit.

        Such a unit undoes a change that nobody confirms in time.
        """
        pending = self._look.machine.state / "guards"
        number = unit[len(_GUARD) :].partition(".")[0]
        return unit.startswith(_GUARD) and bool(number) and (pending / number).is_dir()

    def _disabled(self) -> None:
        """Report units that a package enabled and that somebody disabled."""
        linked = {f"{wanted_by}/{file.unit}" for file, wanted_by in self._files.links}
        # We disable the units of packages that we install, until a resource declares them.
        ours = {
            str(unit)
            for record in self._look.records
            if record.kind == "packages"
            for unit in record.extra.get(DISABLED) or ()
        }
        for link in sorted(self._markers - linked):
            by, _, unit = link.partition("/")
            is_there = unit and self._defined.is_shipped(
                unit
            )  # without a packaged unit file, the package was removed
            if is_there and unit not in {*self._told, *ours} and not self._is_declared(unit):
                told = self._told.setdefault(unit, _Told())
                told.texts.append(f"disabled by hand: its package enabled it for {by.rpartition('.')[0]}")
                told.fixes.append((self._action("enable"), unit))

    def _running(self) -> None:
        """Report units that run although no link, preset or other unit enables them."""
        running = self._list()
        enabled = self._enabled()
        targets = {unit for unit in running if unit.endswith(".target")}
        odd = {
            unit
            for unit in running - targets
            if not ({unit, template(unit)} & enabled or unit in self._told or self._is_declared(unit))
            and not _TERMINALS.fullmatch(unit)
            and self._defined.links(unit)
        }
        odd = {unit for unit in odd if not self._is_triggered(unit, running)}
        if not odd:
            return
        names = {
            name: unit for unit in odd for name in (unit, *self._defined.settings(unit).get("Alias", ()))
        }
        named = {names[name] for name in self._defined.named_anywhere(set(names), targets)}
        for unit in sorted(odd - named):
            fixes: list[Fix] = [("stop", unit)] if unit != _FLUSHES else []
            self._told[unit] = _Told(["runs, and nothing enables it"], fixes=fixes, passing=True)

    def _is_triggered(self, unit: str, running: set[str]) -> bool:
        """Return whether a running socket, timer or path unit starts a unit."""
        stem = unit.rpartition(".")[0]
        for other in running:
            name, _, kind = other.rpartition(".")
            if kind in _STARTERS:
                set_there = self._defined.settings(other)
                starts = [*set_there.get("Unit", ()), *set_there.get("Service", ())] or [f"{name}.service"]
                if unit in starts or (template(unit) in starts and stem):
                    return True
        return False

    def _enabled(self) -> set[str]:
        """Return every unit that a link in any folder enables."""
        found = {file.unit for file, _ in self._files.links} | {
            file.target.rpartition("/")[2] for file in self._files.units if file.target
        }
        return found | unit_files.wanted(self._root, self._manager)

    def _list(self) -> set[str]:
        try:
            done = self._look.machine.run(["systemctl", *_RUNNING], timeout=_TIMEOUT)
        except AgentError as error:
            if error.code == "invalid":
                return set()  # without systemd, no unit runs
            raise
        if done.code:
            raise AgentError("unreadable", "systemctl cannot list the units of the host", detail=done.text)
        return {line.split()[0] for line in done.out.splitlines() if line.split()}

    def _tell(
        self, unit: str, text: str, file: File, *fixes: Fix, content: bool = False, opens: bool = False
    ) -> None:
        mark = _digest(self._root / file.path.lstrip("/")) if content else ""
        told = self._told.setdefault(unit, _Told())
        told.add(text, file, mark)
        told.fixes += fixes
        told.is_open = told.is_open or opens

    def _action(self, action: str) -> str:
        return action if self._manager == SYSTEM else f"{action}-global"

    def _disable(self, unit: str) -> Fix:
        action = self._action("disable")
        return ("disable-and-stop" if action == "disable" and unit != _FLUSHES else action), unit


def _digest(path: Path) -> str:
    """Return a digest of a file. The digest never leaves the host."""
    return hashlib.sha256(unit_files.text_of(path, _LIMIT).encode("utf-8", "replace")).hexdigest()
