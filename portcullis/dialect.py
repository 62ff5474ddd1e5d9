"""The package versions of each operating system, and the features that follow from them.

The settings declare the operating system of a host. If we read the versions from the host instead, the first
preview of each host would show unknown values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Dialect:
    """The package versions of one operating system, and the features that the files we write may use.

    The versions are those of the release with security updates, without epoch and Debian revision.

    Attributes:
        docker: version of the package docker.io.
        docker_packages: the packages with Docker's engine and client. The docker provider's ssh:// transport
            needs the client: it runs `docker system dial-stdio` on the host. Debian only recommends two of
            these packages: apparmor confines containers, and ca-certificates lets Docker trust registries.
        nginx: version of the package nginx.
        openssh: version of the package openssh-server.
        openssl: version of the library that nginx runs with.
        certbot: version of the package certbot.
    """

    docker: str
    docker_packages: tuple[str, ...]
    nginx: str
    openssh: str
    openssl: str
    certbot: str

    @property
    def dockerd_validates(self) -> bool:
        """Whether `dockerd --validate` exists: https://docs.docker.com/engine/release-notes/23.0/."""
        return _version(self.docker) >= (23, 0)

    @property
    def network_defaults(self) -> bool:
        """Whether dockerd has `default-network-opts`: https://docs.docker.com/engine/release-notes/24.0/."""
        return _version(self.docker) >= (24, 0)

    @property
    def docker_firewall_backend(self) -> bool:
        """Whether dockerd has `firewall-backend`: https://docs.docker.com/engine/release-notes/29/."""
        return _version(self.docker) >= (29, 0)

    @property
    def required_rsa_size(self) -> bool:
        """Whether sshd_config has `RequiredRSASize`: https://www.openssh.com/txt/release-9.1."""
        return _version(self.openssh) >= (9, 1)

    @property
    def source_penalties(self) -> bool:
        """Whether sshd has `PerSourcePenalties`, on by default: https://www.openssh.com/txt/release-9.8."""
        return _version(self.openssh) >= (9, 8)

    @property
    def rejects_handshakes(self) -> bool:
        """Whether nginx has `ssl_reject_handshake`, since 1.19.4: https://nginx.org/en/CHANGES."""
        return _version(self.nginx) >= (1, 19, 4)

    @property
    def http2_directive(self) -> bool:
        """Whether nginx has `http2 on`, since 1.25.1: https://nginx.org/en/CHANGES."""
        return _version(self.nginx) >= (1, 25, 1)

    @property
    def rotates_ticket_keys(self) -> bool:
        """Whether nginx rotates session ticket keys in a shared cache, from 1.23.2: https://nginx.org/en/CHANGES."""
        return _version(self.nginx) >= (1, 23, 2)

    @property
    def post_quantum(self) -> bool:
        """Whether OpenSSL has X25519MLKEM768: https://github.com/openssl/openssl/blob/openssl-3.5/NEWS.md."""
        return _version(self.openssl) >= (3, 5)

    @property
    def certificate_profiles(self) -> bool:
        """Whether certbot has `--preferred-profile` and renews after a share of the lifetime, since 4.0.

        Certbot's changelog: https://github.com/certbot/certbot/blob/main/certbot/CHANGELOG.md
        """
        return _version(self.certbot) >= (4, 0)


def _version(text: str) -> tuple[int, ...]:
    """Return a version that can be compared, without OpenSSH's suffix `p1`."""
    return tuple(int(part) for part in text.partition("p")[0].split("."))


# Versions: https://packages.debian.org/<release>/<package> and https://packages.ubuntu.com/<release>/<package>.
DIALECTS: Mapping[str, Dialect] = {
    "debian-12": Dialect(
        docker="20.10.24",
        # The package docker.io contains the client: https://packages.debian.org/bookworm/docker.io.
        docker_packages=("apparmor", "ca-certificates", "docker.io"),
        nginx="1.22.1",
        openssh="9.2p1",
        openssl="3.0",
        certbot="2.1.0",
    ),
    "debian-13": Dialect(
        docker="26.1.5",
        # docker.io only recommends docker-cli, so we name it: https://packages.debian.org/trixie/docker.io.
        docker_packages=("apparmor", "ca-certificates", "docker-cli", "docker.io"),
        nginx="1.26.3",
        openssh="10.0p1",
        openssl="3.5",
        certbot="4.0.0",
    ),
    # Ubuntu: rendered and unit-tested, but not tested on a real host. Its security updates replace Docker by
    # a new upstream release. The package docker.io contains the client
    # (https://packages.ubuntu.com/source/jammy/docker.io-app).
    "ubuntu-22.04": Dialect(
        docker="29.1.3",
        docker_packages=("apparmor", "ca-certificates", "docker.io"),
        nginx="1.18.0",
        openssh="8.9p1",
        openssl="3.0",
        certbot="1.21.0",
    ),
    "ubuntu-24.04": Dialect(
        docker="29.1.3",
        docker_packages=("apparmor", "ca-certificates", "docker.io"),
        nginx="1.24.0",
        openssh="9.6p1",
        openssl="3.0",
        certbot="2.9.0",
    ),
}
