"""The parts of a site that other resources make: where its apps answer, and its users' passwords."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import bcrypt
import pulumi

from portcullis.components.nginx import render as nginx
from portcullis.components.nginx.args import AppAddress
from portcullis.config.arguments import faults_in
from portcullis.config.faults import ArgumentsError
from portcullis.config.forms import Port
from portcullis.config.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from portcullis.config.forms import SecretInput

# 2^6 rounds, some 3 ms: nginx checks the password with every request, and does nothing else meanwhile.
_ROUNDS = 6
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BCRYPT64 = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True, slots=True)
class ProxiedApp:
    """Where an app answers.

    Attributes:
        address: IPv4 address that it listens on, or that its container is published on.
        port: port there; an output where the host chooses it.
        depends_on: what makes the app: no visitor is sent there before.

    Raises:
        ArgumentsError: with every attribute that cannot be used.
    """

    address: str
    port: pulumi.Input[int]
    depends_on: Sequence[pulumi.Resource] = ()

    def __post_init__(self) -> None:
        """Check what nginx would refuse."""
        faults = faults_in(AppAddress, self.address, "ProxiedApp.address")
        if not isinstance(self.port, pulumi.Output):
            faults += faults_in(Port, self.port, "ProxiedApp.port")
        if faults:
            raise ArgumentsError(faults)


def with_upstreams(
    apps: Mapping[str, ProxiedApp], render: Callable[[Mapping[str, nginx.Upstream]], str]
) -> pulumi.Input[str]:
    """Render what needs to know where apps answer. The text is known in a preview wherever the ports are.

    Args:
        apps: where they answer, by the beginning of the path.
        render: takes the same with ports that are numbers.
    """

    def rendered(ports: Mapping[str, int]) -> str:
        return render(
            {prefix: nginx.Upstream(apps[prefix].address, int(port)) for prefix, port in ports.items()}
        )

    ports = {prefix: app.port for prefix, app in apps.items()}
    known = {prefix: port for prefix, port in ports.items() if isinstance(port, int)}
    return rendered(known) if len(known) == len(ports) else pulumi.Output.all(**ports).apply(rendered)


def passwords(name: str, users: Mapping[str, SecretInput]) -> pulumi.Output[str]:
    """Return the file with a site's users and hashes of their passwords, which is a secret like these."""
    place = f"{pulumi.get_project()}/{pulumi.get_stack()}/{name}"

    def render(found: Mapping[str, str]) -> str:
        return "".join(f"{user}:{_hash(found[user], f'{place}/{user}')}\n" for user in sorted(found))

    outputs = {user: Secret.of(password).output for user, password in users.items()}
    return pulumi.Output.secret(pulumi.Output.all(**outputs).apply(render))


def _hash(password: str, place: str) -> str:
    """Return the bcrypt hash of a password: the same text every time, or every preview would show a change.

    The salt is of the place. Two users of one password have two hashes, and no table made beforehand fits.
    """
    raw = hashlib.sha256(place.encode()).digest()[:16]
    salt = base64.b64encode(raw).rstrip(b"=").translate(bytes.maketrans(_BASE64, _BCRYPT64))
    return bcrypt.hashpw(password.encode(), b"$2b$%02d$" % _ROUNDS + salt).decode()
