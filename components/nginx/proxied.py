"""The parts of a site that depend on other resources: where its apps answer, and its users' passwords."""

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

# 2^6 rounds take about 3 ms. nginx checks the password at every request, and a worker does nothing else
# meanwhile.
_ROUNDS = 6
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BCRYPT64 = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True, slots=True)
class ProxiedApp:
    """The address and port at which an app answers.

    Attributes:
        address: IPv4 address on which the app listens, or on which its container is published.
        port: port at this address; an Output where the host chooses it.
        depends_on: the resources that make the app. nginx sends it no visitor before they are ready.

    Raises:
        ArgumentsError: with every attribute that cannot be used.
    """

    address: str
    port: pulumi.Input[int]
    depends_on: Sequence[pulumi.Resource] = ()

    def __post_init__(self) -> None:
        """Refuse values that nginx would refuse."""
        faults = faults_in(AppAddress, self.address, "ProxiedApp.address")
        if not isinstance(self.port, pulumi.Output):
            faults += faults_in(Port, self.port, "ProxiedApp.port")
        if faults:
            raise ArgumentsError(faults)


def with_upstreams(
    apps: Mapping[str, ProxiedApp], render: Callable[[Mapping[str, nginx.Upstream]], str]
) -> pulumi.Input[str]:
    """Render a text that needs the ports of apps. A preview knows the text wherever it knows all ports.

    Args:
        apps: where the apps answer, by the beginning of the path.
        render: renders the text from the same map, with ports as numbers.
    """

    def rendered(ports: Mapping[str, int]) -> str:
        return render(
            {prefix: nginx.Upstream(apps[prefix].address, int(port)) for prefix, port in ports.items()}
        )

    ports = {prefix: app.port for prefix, app in apps.items()}
    known = {prefix: port for prefix, port in ports.items() if isinstance(port, int)}
    return rendered(known) if len(known) == len(ports) else pulumi.Output.all(**ports).apply(rendered)


def passwords(name: str, users: Mapping[str, SecretInput]) -> pulumi.Output[str]:
    """Return the content of the file with a site's users and password hashes.

    The content is a secret, too.
    """
    place = f"{pulumi.get_project()}/{pulumi.get_stack()}/{name}"

    def render(found: Mapping[str, str]) -> str:
        return "".join(f"{user}:{_hash(found[user], f'{place}/{user}')}\n" for user in sorted(found))

    outputs = {user: Secret.of(password).output for user, password in users.items()}
    return pulumi.Output.secret(pulumi.Output.all(**outputs).apply(render))


def _hash(password: str, place: str) -> str:
    """Return the bcrypt hash of a password.

    A different hash each time would show as a change in every preview.

    So the salt of the hash is not random: it depends on project, stack, site and user. Two users with the
    same password still have different hashes, and tables of precomputed hashes are useless.
    """
    raw = hashlib.sha256(place.encode()).digest()[:16]
    salt = base64.b64encode(raw).rstrip(b"=").translate(bytes.maketrans(_BASE64, _BCRYPT64))
    return bcrypt.hashpw(password.encode(), b"$2b$%02d$" % _ROUNDS + salt).decode()
