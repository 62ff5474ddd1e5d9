"""Fixtures for tests that need a host.

To use them, write ``pytest_plugins = ["lab.pytest_lab"]`` in a conftest. The hosts of a test session belong
to the session's lease. If the session is killed, the next lab command removes its hosts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from lab import acme as authorities
from lab import catalogue, hosts, images, keys, machine, network, registry, snapshots, state
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
    """A disposable host for tests.

    ``run``, ``read`` and ``write`` work like a console, without sshd and firewall.
    """

    engine: Engine
    record: HostRecord

    @property
    def name(self) -> str:
        """The name of the host."""
        return self.record.name

    @property
    def address(self) -> str:
        """The host's IPv4 address on the segment."""
        return network.on_segment(self.record.number).v4

    @property
    def address6(self) -> str:
        """The host's IPv6 address on the segment."""
        return network.on_segment(self.record.number).v6

    @property
    def ssh_port(self) -> int:
        """The port on which the host's sshd first listens."""
        return 22

    @property
    def host_key(self) -> str:
        """The host's public Ed25519 key, in the form of ``known_hosts``."""
        return keys.public_host_key(self.name)

    @property
    def identity_file(self) -> Path:
        """The private key for the login as root."""
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
                f"on {self.name}, the command {command} failed (exit code {done.returncode}): "
                f"{done.stdout}{done.stderr}"
            )
        return done

    def ssh(self, *argv: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command through its sshd, with its pinned key."""
        known = keys.known_hosts(self.name, self.address)
        return run(
            [*machine.ssh_argv(self.record, known, keys.client_key()), *argv], timeout=timeout, check=False
        )

    def read(self, path: str) -> str:
        """Return the text of a file on the host."""
        return self.run(["cat", "--", path]).stdout

    def write(self, path: str, content: str) -> None:
        """Write a file's text in place, like an editor on the host."""
        self.run(["sh", "-c", 'cat > "$1"', "sh", path], text=content)

    def reboot(self) -> None:
        """Shut the host down, start it, and wait until it has booted."""
        hosts.reboot(self.engine, self.record)

    def relay(self, rtt: float, port: int = 22) -> Relay:
        """Return a relay to a port of the host, with a round trip of ``rtt`` seconds.

        The caller closes the relay after use.
        """
        return Relay((self.address, port), rtt=rtt)


@dataclass(frozen=True, slots=True)
class Lab:
    """The lab around the hosts: places on the network, registries, the certificate authority."""

    def fetch(self, place: str, *argv: str) -> tuple[int, str]:
        """Run curl from "neighbour" or "internet". Return curl's exit status and output."""
        return machine.fetch(place, list(argv))

    def at(self, place: str, *argv: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command of the machine with the network of "neighbour" or "internet"."""
        return run(["ip", "netns", "exec", machine.namespace(place), *argv], timeout=timeout, check=False)

    def push(self, image: images.Image) -> images.Built:
        """Build an image and push it to the registry."""
        return images.push(image)

    def image(self, tagged: str) -> str:
        """Return the reference of an image in the catalogue, such as "redis:7", with its digest.

        Build the image if needed.
        """
        return catalogue.reference(tagged)

    @property
    def registry(self) -> str:
        """The registry's address and port, which come before an image's name."""
        return registry.NAME

    def private_registry(self) -> str:
        """Return the address of a registry with the same images that requires a login.

        Start this registry if needed.
        """
        with state.locked() as now:
            registry.ensure_private(now)
        return registry.PRIVATE

    @property
    def authority(self) -> keys.Authority:
        """The CA that the hosts trust, and a bundle for the deploying machine."""
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
    """Return a function that creates a fresh host. All hosts that it created are removed after the test."""
    yield from _factory()


@pytest.fixture(scope="module")
def make_module_host(lab: Lab) -> Iterator[Callable[[], Host]]:  # noqa: ARG001
    """Return a function that creates a fresh host for all tests of a file."""
    yield from _factory()


@pytest.fixture
def host(make_host: Callable[[], Host]) -> Host:
    """Return a fresh host, which is removed after the test."""
    return make_host()


@pytest.fixture(scope="module")
def module_host(make_module_host: Callable[[], Host]) -> Host:
    """Return a fresh host for a file of tests."""
    return make_module_host()


@pytest.fixture(scope="module")
def docker_host(lab: Lab) -> Iterator[Host]:  # noqa: ARG001
    """Return a host with Debian's Docker for a file of tests. It is a copy of a snapshot."""
    record = snapshots.Snapshot("docker", (), _install_docker).copy(lease=this_process())
    engine, _ = machine.find(record.name)
    yield Host(engine, record)
    machine.down([record.name], Progress(), lease=this_process())


@pytest.fixture(scope="module")
def acme(module_host: Host) -> AcmeServer:
    """Return the certificate authority of the file's host. The authority is removed with the host."""
    return authorities.of(module_host.record)


def _install_docker(record: HostRecord, _: Path) -> None:
    engine, record = machine.find(record.name)
    install = (
        "DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends docker.io docker-cli"
    )
    Host(engine, record).run(f"apt-get update -q && {install}")


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
