"""Watches the processes of a lab host and of the deploying machine.

/proc of the machine shows the processes of both.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from lab import hosts
from portcullis.host.bundle import agent_bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from lab.pytest_lab import Host

_GONE = (FileNotFoundError, ProcessLookupError, PermissionError)


@dataclass(frozen=True, slots=True)
class Process:
    """A process in the machine's /proc.

    `pid` is the process id on the machine, also for a process on a host.
    """

    pid: int
    on_host: bool
    command: str

    @property
    def is_agent(self) -> bool:
        """Whether the process is the agent. The sudo and the shell that start the agent do not count."""
        return self.command.startswith("python3 -I -c ") and agent_bundle().digest in self.command

    def environment(self) -> str:
        """Return the environment of the process. The text is empty if the process has ended."""
        with contextlib.suppress(*_GONE):
            return (
                Path(f"/proc/{self.pid}/environ").read_bytes().replace(b"\0", b"\n").decode(errors="replace")
            )
        return ""


def processes(host: Host) -> Iterator[Process]:
    """Yield every process of the host and of the machine."""
    inside = _namespace(hosts.first_process(host.engine, host.record))
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(*_GONE):
            command = (entry / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ")
            if command:
                pid = int(entry.name)
                yield Process(pid, _namespace(pid) == inside, command.decode(errors="replace"))


def on_host(host: Host, word: str) -> list[Process]:
    """Return the processes of the host whose command line has a word."""
    return [process for process in processes(host) if process.on_host and word in process.command]


def agents(host: Host) -> list[Process]:
    """Return the agents that run on the host."""
    return [process for process in processes(host) if process.on_host and process.is_agent]


def of_folder(host: Host, folder: Path) -> list[Process]:
    """Return the processes of the machine whose environment names a project folder.

    Pulumi's language host is left out: it keeps no lock, and ends by itself within five minutes after its
    engine.
    """
    return [
        process
        for process in processes(host)
        if not process.on_host
        and process.pid != os.getpid()
        and "bin/pulumi-language-python " not in process.command
        and str(folder) in process.environment()
    ]


def wait_for(what: str, met: Callable[[], object], timeout: float = 120) -> None:
    """Wait until something holds; fail, naming it, when it does not in time."""
    deadline = time.monotonic() + timeout
    while not met():
        assert time.monotonic() < deadline, f"not within {timeout:.0f} s: {what}"
        time.sleep(0.1)  # each look asks Docker, or starts a process on the host


def cursor(host: Host) -> str:
    """Return the place in the host's journal after its last line."""
    said = host.run("journalctl --sync; journalctl -q -n 1 -o cat --show-cursor").stdout
    return said.rpartition("-- cursor: ")[2].strip()


def journal(host: Host, since: str, *options: str) -> str:
    """Return the lines of the host's journal after a place in it."""
    host.run(["journalctl", "--sync"])
    return host.run(["journalctl", "-q", "-o", "cat", f"--after-cursor={since}", *options]).stdout


@dataclass(slots=True)
class Sampler:
    """A thread that looks at every process again and again while the `with` block runs."""

    host: Host
    commands: set[str] = field(default_factory=set)
    environments: set[str] = field(default_factory=set)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._thread is not None
        looked_to_the_end = self._thread.is_alive()
        self._stop.set()
        self._thread.join()
        if error is None:
            assert looked_to_the_end
            assert any("python3 -I -c" in command for command in self.commands), "the agent was not seen"

    def _sample(self) -> None:
        while not self._stop.is_set():
            for process in processes(self.host):
                self.commands.add(process.command)
                if process.on_host:
                    self.environments.add(process.environment())
            time.sleep(0.02)  # often enough to see each command, but not so often that it slows them down


def _namespace(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/pid").readlink())
