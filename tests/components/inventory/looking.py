"""A fake host in a temporary folder, and the object `Look` with which the inventory reads this host."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from portcullis.agent.claims import Claimed, Claims
from portcullis.agent.machine import Machine
from portcullis.agent.run import Done
from portcullis.agent.store import Record
from portcullis.components.inventory.facts import InventorySpec
from portcullis.components.inventory.on_host.look import Look

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SPEC = InventorySpec([], {}, [], [], {})


def record(kind: str, item: str, **spec: Any) -> Record:
    return Record(kind, item, "web/prod", "urn", spec, "1", {})


@dataclass
class Host:
    """A host in the folder `root`.

    Attributes:
        says: the output of each program, by the start of its command line. Other programs fail.
    """

    root: Path
    says: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    claims: list[Claims] = field(default_factory=list)
    spec: InventorySpec = SPEC

    @property
    def machine(self) -> Machine:
        return Machine(
            root=self.root,
            state=self.root / "var/lib/portcullis",
            dpkg=self.root / "var/lib/dpkg",
            etc=self.root / "etc",
            ssh=self.root / "etc/ssh",
            units=self.root / "etc/systemd/system",
            proc=self.root / "proc",
            proc_sys=self.root / "proc/sys",
            net=self.root / "sys/class/net",
            sysctl_d=(self.root / "etc/sysctl.d", self.root / "usr/lib/sysctl.d"),
            docker=self.root / "run/docker.sock",
            run=self.run,
        )

    def run(self, argv: Sequence[str], *, timeout: float, env: Mapping[str, str] | None = None) -> Done:
        assert timeout > 0
        assert env is None
        line = " ".join(argv)
        self.calls.append(line)
        for start, said in self.says.items():
            if line.startswith(start):
                return Done(0, said, "")
        return Done(1, "", f"this host does not know {line}")

    def look(self, **changes: Any) -> Look:
        look = Look(self.machine, Claimed(self.claims), self.spec, self.records)
        return dataclasses.replace(look, **changes)

    def write(self, path: str, text: str = "", mode: int = 0o644) -> Path:
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(mode)
        return place

    def link(self, path: str, target: str) -> Path:
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)
        return place
