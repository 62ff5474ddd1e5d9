"""Fixtures for tests that need a host. In a conftest: ``pytest_plugins = ["lab.pytest_lab"]``.

A killed test session leaves nothing for long: its hosts carry its lease, and the next lab command removes
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from lab import acme as authorities
from lab import catalogue, hosts, images, keys, machine, network, registry, state
from lab.processes import this_process
from lab.relay import Relay
from lab.shell import Progress, run

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from lab.acme import AcmeServer
    from lab.engine import Engine
    from lab.state import HostRecord


@dataclass(frozen=True, slots=True)
class Host:
    """A disposable host. ``run``, ``read`` and ``write`` go past its sshd and firewall, as from a console."""

    engine: Engine
    record: HostRecord

    @property
    def name(self) -> str:
        """Its host name."""
        return self.record.name

    @property
    def address(self) -> str:
        """Its IPv4 address on the segment."""
        return network.on_segment(self.record.number).v4

    @property
    def address6(self) -> str:
        """Its IPv6 address on the segment."""
        return network.on_segment(self.record.number).v6

    @property
    def ssh_port(self) -> int:
        """The port its sshd starts with."""
        return 22

    @property
    def host_key(self) -> str:
        """Its public Ed25519 key, as ``known_hosts`` has it."""
        return keys.public_host_key(self.name)

    @property
    def identity_file(self) -> Path:
        """The private key that root lets in."""
        return keys.client_key()

    def run(
        self,
        command: Sequence[str] | str,
        *,
        text: str | None = None,
        timeout: float = 600,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run an argument list, or a line of sh, as root.

        Raises:
            AssertionError: it failed, with ``check``; its output is quoted.
        """
        argv = ["sh", "-c", command] if isinstance(command, str) else list(command)
        done = hosts.console(self.engine, self.record, argv, text=text, timeout=timeout)
        if check and done.returncode != 0:
            raise AssertionError(
                f"{self.name}: {command} ended with {done.returncode}: {done.stdout}{done.stderr}"
            )
        return done

    def ssh(self, *argv: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command through its sshd, with its pinned key."""
        known = keys.known_hosts(self.name, self.address)
        return run(
            [*machine.ssh_argv(self.record, known, keys.client_key()), *argv], timeout=timeout, check=False
        )

    def read(self, path: str) -> str:
        """Return a file's text."""
        return self.run(["cat", "--", path]).stdout

    def write(self, path: str, content: str) -> None:
        """Write a file's text, in place, as an editor on the host would."""
        self.run(["sh", "-c", 'cat > "$1"', "sh", path], text=content)

    def reboot(self) -> None:
        """Shut it down, start it, and wait until it has booted."""
        hosts.reboot(self.engine, self.record)

    def relay(self, rtt: float, port: int = 22) -> Relay:
        """Return a relay to one of its ports with ``rtt`` seconds of round trip; close it after use."""
        return Relay((self.address, port), rtt=rtt)


@dataclass(frozen=True, slots=True)
class Lab:
    """What stands around the hosts."""

    def fetch(self, place: str, *argv: str) -> tuple[int, str]:
        """Run curl from "neighbour" or "internet"; return its exit status and output."""
        return machine.fetch(place, list(argv))

    def at(self, place: str, *argv: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command of the machine with the network of "neighbour" or "internet"."""
        return run(["ip", "netns", "exec", machine.namespace(place), *argv], timeout=timeout, check=False)

    def push(self, image: images.Image) -> images.Built:
        """Build an image and push it to the registry."""
        return images.push(image)

    def image(self, tagged: str) -> str:
        """Return the reference by digest of an image of the catalogue ("redis:7"), built if need be."""
        return catalogue.reference(tagged)

    @property
    def registry(self) -> str:
        """The registry's address and port, as it stands before an image's name."""
        return registry.NAME

    def private_registry(self) -> str:
        """Return the address of a registry with the same images behind a login, started if need be."""
        with state.locked() as now:
            registry.ensure_private(now)
        return registry.PRIVATE

    @property
    def authority(self) -> keys.Authority:
        """The CA that the hosts trust, and a bundle for the deploying side."""
        return keys.authority()


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Keep the lab's network and registry up for the whole session."""
    lease = this_process()
    machine.join(lease, Progress())
    try:
        yield Lab()
    finally:
        machine.leave(lease)


@pytest.fixture
def make_host(lab: Lab) -> Iterator[Callable[[], Host]]:  # noqa: ARG001
    """Return a function that raises one more fresh host; all go at the end of the test."""
    yield from _factory()


@pytest.fixture(scope="module")
def make_module_host(lab: Lab) -> Iterator[Callable[[], Host]]:  # noqa: ARG001
    """Return the same for hosts that a whole file of tests shares."""
    yield from _factory()


@pytest.fixture
def host(make_host: Callable[[], Host]) -> Host:
    """Return a fresh host, gone after the test."""
    return make_host()


@pytest.fixture(scope="module")
def module_host(make_module_host: Callable[[], Host]) -> Host:
    """Return a host that is fresh for a file of tests."""
    return make_module_host()


@pytest.fixture(scope="module")
def acme(module_host: Host) -> AcmeServer:
    """Return the certificate authority of the file's host, which goes with the host."""
    return authorities.of(module_host.record)


def _factory() -> Iterator[Callable[[], Host]]:
    names: list[str] = []

    def make(suite: str = machine.DEFAULT_SUITE) -> Host:
        record = machine.up(None, suite=suite, lease=this_process(), progress=Progress())
        names.append(record.name)
        engine, _ = machine.find(record.name)
        return Host(engine, record)

    try:
        yield make
    finally:
        machine.down(names, Progress(), lease=this_process())
