"""What each operating system's own packages can do; the settings declare which one a host runs.

Read from the host instead, these would be unknown in every first preview.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Dialect:
    """The versions that a system ships, and what follows from them for the files we write.

    Versions are those of the release with its security updates, without epoch and Debian revision.

    Attributes:
        docker: version of the package docker.io.
        docker_packages: what gives both the engine and the client; the docker provider's ssh:// transport
            runs `docker system dial-stdio` on the host. Recommended packages are named where they are
            needed: apparmor confines containers, ca-certificates lets registries be trusted.
        fail2ban: version of the package fail2ban.
        nftables: version of the package nftables.
        nginx: version of the package nginx.
        openssh: version of the package openssh-server.
        ssh_socket: what a fresh installation's sshd is started by. "none": ssh.service, which reads `Port`
            itself. "generator": ssh.socket, whose ports a generator takes from sshd_config at each
            daemon-reload, so that a new `Port` needs a daemon-reload and a restart of the socket.
        systemd: version of the package systemd.
    """

    docker: str
    docker_packages: tuple[str, ...]
    fail2ban: str
    nftables: str
    nginx: str
    openssh: str
    ssh_socket: Literal["none", "generator"]
    systemd: str

    @property
    def dockerd_validates(self) -> bool:
        """`dockerd --validate`: https://docs.docker.com/engine/release-notes/23.0/."""
        return _version(self.docker) >= (23, 0)

    @property
    def network_defaults(self) -> bool:
        """`default-network-opts`: https://docs.docker.com/engine/release-notes/24.0/."""
        return _version(self.docker) >= (24, 0)

    @property
    def ip6tables(self) -> Literal["experimental", "default"]:
        """How Docker comes to filter IPv6: with `experimental` and `ip6tables` set, or by itself since 27.0.

        https://docs.docker.com/engine/release-notes/27/ (moby/moby#47747). Our forward filter covers IPv6
        with either.
        """
        return "default" if _version(self.docker) >= (27, 0) else "experimental"

    @property
    def docker_firewall_backend(self) -> bool:
        """`firewall-backend` can be chosen: https://docs.docker.com/engine/release-notes/29/."""
        return _version(self.docker) >= (29, 0)

    @property
    def docker_drops_direct_access(self) -> bool:
        """Docker itself drops what neighbours send to containers' addresses: since 28.0.

        https://docs.docker.com/engine/release-notes/28/. Not what they send to a port published on docker0's
        address.
        """
        return _version(self.docker) >= (28, 0)

    @property
    def required_rsa_size(self) -> bool:
        """`RequiredRSASize` in sshd_config: https://www.openssh.com/txt/release-9.1."""
        return _version(self.openssh) >= (9, 1)

    @property
    def sshd_session(self) -> bool:
        """Connections are served, and logged, by `sshd-session`: https://www.openssh.com/txt/release-9.8."""
        return _version(self.openssh) >= (9, 8)

    @property
    def source_penalties(self) -> bool:
        """`PerSourcePenalties`, on by default: https://www.openssh.com/txt/release-9.8."""
        return _version(self.openssh) >= (9, 8)

    @property
    def rejects_handshakes(self) -> bool:
        """`ssl_reject_handshake` since 1.19.4: https://nginx.org/en/CHANGES."""
        return _version(self.nginx) >= (1, 19, 4)

    @property
    def http2_directive(self) -> bool:
        """`http2 on;` since 1.25.1, a parameter of `listen` before: https://nginx.org/en/CHANGES."""
        return _version(self.nginx) >= (1, 25, 1)


def _version(text: str) -> tuple[int, ...]:
    """Return a version for comparing; OpenSSH's `p1` says nothing."""
    return tuple(int(part) for part in text.partition("p")[0].split("."))


# Versions: https://packages.debian.org/<release>/<package> and https://packages.ubuntu.com/<release>/<package>.
DIALECTS: Mapping[str, Dialect] = {
    "debian-12": Dialect(
        docker="20.10.24",
        # https://packages.debian.org/bookworm/docker.io: the client is part of docker.io.
        docker_packages=("apparmor", "ca-certificates", "docker.io"),
        fail2ban="1.0.2",
        nftables="1.0.6",
        nginx="1.22.1",
        openssh="9.2p1",
        # There is an ssh.socket, for who wants it; nothing enables it.
        ssh_socket="none",
        systemd="252",
    ),
    "debian-13": Dialect(
        docker="26.1.5",
        # https://packages.debian.org/trixie/docker.io: it only recommends docker-cli, so we name it.
        docker_packages=("apparmor", "ca-certificates", "docker-cli", "docker.io"),
        fail2ban="1.1.0",
        nftables="1.1.3",
        nginx="1.26.3",
        openssh="10.0p1",
        ssh_socket="none",
        systemd="257",
    ),
    # Ubuntu: rendered and unit-tested, not proven on a host. Its security pocket replaces Docker by a new
    # upstream release; the client is part of docker.io (https://packages.ubuntu.com/source/jammy/docker.io-app).
    "ubuntu-22.04": Dialect(
        docker="29.1.3",
        docker_packages=("apparmor", "ca-certificates", "docker.io"),
        fail2ban="0.11.2",
        nftables="1.0.2",
        nginx="1.18.0",
        openssh="8.9p1",
        # Ubuntu starts sshd from a socket since 22.10.
        # https://discourse.ubuntu.com/t/sshd-now-uses-socket-based-activation-ubuntu-22-10-and-later/30189
        ssh_socket="none",
        systemd="249",
    ),
    "ubuntu-24.04": Dialect(
        docker="29.1.3",
        docker_packages=("apparmor", "ca-certificates", "docker.io"),
        fail2ban="1.0.2",
        nftables="1.0.9",
        nginx="1.24.0",
        openssh="9.6p1",
        # https://discourse.ubuntu.com/t/noble-numbat-release-notes/39890: sshd-socket-generator.
        ssh_socket="generator",
        systemd="255",
    ),
}
