"""Runs the programs that record a host and the deploying machine, and searches their records for canaries."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Self

from lab import hosts

if TYPE_CHECKING:
    from types import TracebackType

    from lab.pytest_lab import Host
    from tests.e2e.secrets.search import Search

_HERE = Path(__file__).parent


class Recorders:
    """Records processes, the packets of the host, and the input of a local listener, during a block."""

    def __init__(self, host: Host, folder: Path, ports: tuple[int, ...] = ()) -> None:
        self.folder = folder
        self._host, self._ports = host, ports
        self._running: list[subprocess.Popen[bytes]] = []
        for part in ("processes", "packets"):
            (folder / part).mkdir(parents=True)
        self.heard = folder / "heard"

    def __enter__(self) -> Self:
        first = str(hosts.first_process(self._host.engine, self._host.record))
        network = ["nsenter", "--target", first, "--net"]
        self._start([], "record_processes", str(self.folder / "processes"))
        self._start(network, "record_packets", str(self.folder / "packets"))
        if self._ports:
            self.heard.touch()
            self.heard.chmod(0o666)
            # The user nobody cannot enter the folder of root, so the program gets the open file.
            nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]
            with self.heard.open("r+b") as out:
                argv = [f"/dev/fd/{out.fileno()}", *map(str, self._ports)]
                self._start([*network, *nobody], "listen", *argv, keep=out.fileno())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._running:
            _, said = process.communicate(timeout=60)
            assert process.returncode == 0, said.decode()

    def _start(self, enter: list[str], program: str, *arguments: str, keep: int | None = None) -> None:
        # The program is passed as text, because the user nobody cannot read the checkout.
        text = (_HERE / f"{program}.py").read_text()
        argv = [*enter, "/usr/bin/python3", "-IS", "-c", text, *arguments]
        self._running.append(
            subprocess.Popen(
                argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env={"PATH": os.environ["PATH"]},
                pass_fds=[keep] if keep is not None else [],
            )
        )  # fmt: skip

    def search(self, search: Search) -> None:
        """Search all records."""
        for file in sorted((self.folder / "processes").glob("* *")):
            side, what, program = file.name.split(" ", 2)
            place = {"cmdline": "command line", "environ": "environment"}[what]
            search.text(place, f"{side} {program}", file.read_bytes())
        for file in sorted((self.folder / "packets").glob("* *")):
            search.text("packet", file.name, file.read_bytes())
            file.unlink()  # the packets of images have hundreds of megabytes
        if self._ports:
            search.text("heard", "by nobody", self.heard.read_bytes())

    def numbers(self) -> str:
        """Return the numbers of recorded processes and packets as a line."""
        rounds, texts = (self.folder / "processes/rounds").read_text().split()
        packets, dropped = (self.folder / "packets/packets").read_text().split()
        said = f"{rounds} looks at all processes, {texts} texts; {packets} packets, {dropped} missed"
        return said + (f"; {self.heard.read_text(errors='replace').splitlines()[-1]}" if self._ports else "")
