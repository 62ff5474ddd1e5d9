"""A person's way to the stores of a host, for their database tools: an SSH tunnel, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

import pulumi
import pulumi_tls as tls
from pulumi import ResourceOptions

from portcullis.components.tunnels.args import Person
from portcullis.components.tunnels.render import tunnel, tunnel_lines
from portcullis.components.users.resource.user import User
from portcullis.config.arguments import faults_in, validate
from portcullis.config.faults import Fault, shown
from portcullis.config.forms import Alias, KeyName, LoginKey, Port, StoreName
from portcullis.config.kinds import ListOf, MapOf

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_Keys = MapOf[KeyName, LoginKey]


@dataclass(frozen=True, slots=True)
class StoreLogin:
    """A user of a store, as a tool logs in. Both may be known only later."""

    user: pulumi.Input[str]
    password: pulumi.Input[str] | None = None

    @classmethod
    def of(cls, url: pulumi.Input[str]) -> StoreLogin:
        """Return the login that a connection string holds, such as an app's `redis_url`."""
        parts = pulumi.Output.from_input(url).apply(urlsplit)
        return cls(
            parts.apply(lambda found: unquote(found.username or "")),
            parts.apply(lambda found: unquote(found.password or "")),
        )


@dataclass(frozen=True, slots=True)
class TunnelTarget:
    """What a tunnel leads to: a port on an address that the host itself reaches.

    Attributes:
        port: TCP port there.
        address: docker0's, where stores are published.
        scheme: what speaks there; None prints no connection strings.
        logins: users of the store, by a label; of MongoDB the label is the database.
        tls: it speaks TLS.
        ca: certificate of the authority to trust for that; people's tools need it too.
    """

    port: int
    address: str = "172.17.0.1"
    scheme: Literal["redis", "mongodb"] | None = None
    logins: Mapping[str, StoreLogin] = field(default_factory=lambda: MappingProxyType({}))
    tls: bool = False
    ca: pulumi.Input[str] | None = None

    @property
    def text(self) -> str:
        """ADDRESS:PORT, as sshd and `SshAccessArgs.tunnels` take it."""
        return tunnel_lines.target(self.address, self.port)


@dataclass(frozen=True, slots=True)
class SshTunnelArgs:
    """Who may tunnel where to.

    Attributes:
        host: alias of the host.
        person: who it is; the account is `tunnel-PERSON`.
        to: what may be reached, by the name of the store.
        keys: public keys by a name for each; without any, one is made.
        taken: local ports of this person's tunnels to other hosts.
        after: what has to be there before: `ready` of the host's `SshAccess`, whose `tunnels` name it.
        adopt: take over an account of that name that is there and differs.

    Raises:
        ValueError: naming every attribute that cannot be used.
    """

    host: str
    person: str
    to: Mapping[str, TunnelTarget]
    keys: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    taken: tuple[int, ...] = ()
    after: tuple[pulumi.Resource, ...] = ()
    adopt: bool = False

    def __post_init__(self) -> None:
        """Check what would otherwise fail on the host."""
        validate(
            self,
            {
                "host": Alias,
                "person": Person,
                "to": ListOf[StoreName],
                "taken": ListOf[Port],
            },
        )
        faults = faults_in(_Keys, dict(self.keys), "SshTunnelArgs.keys")
        if not self.to:
            faults.append(Fault("SshTunnelArgs.to", "names nothing that may be reached"))
        for name, target in self.to.items():
            at = f"SshTunnelArgs.to.{name}"
            faults += faults_in(Port, target.port, f"{at}.port")
            if not tunnel_lines.is_address(target.address):
                why = f"{shown(target.address)} is not an IP address"
                faults.append(Fault(f"{at}.address", why, "sshd compares it as it stands"))
        if faults:
            raise ValueError("\n".join(map(str, faults)))

    @property
    def account(self) -> str:
        """The account's name on the host."""
        return tunnel.account(self.person)

    @property
    def targets(self) -> tuple[str, ...]:
        """What may be reached, as sshd has it: the value of `SshAccessArgs.tunnels` for this account."""
        return tuple(sorted({target.text for target in self.to.values()}))


class SshTunnel(pulumi.ComponentResource):
    """An account that forwards to the named ports: no password, shell, command, file transfer or terminal.

    Both the key's line and sshd's own block say so. When a key goes or may reach less, and when the person
    goes, connections that are open end.

    Attributes:
        ready: the account.
        private_key: the key that was made, secret, in OpenSSH's format; None where the person has their own.
        described: what they need to use it, without secrets and without the host's address.
        passwords: name of a store and a login to its password, secret.
        ca: certificate of the stores' authority, or None where they speak no TLS.
    """

    ready: list[pulumi.Resource]
    private_key: pulumi.Output[str] | None
    described: pulumi.Output[dict[str, object]]
    passwords: dict[str, pulumi.Output[str]]
    ca: pulumi.Input[str] | None

    def __init__(self, name: str, args: SshTunnelArgs, opts: ResourceOptions | None = None) -> None:
        """Declare it under `name`, such as "web1-tunnel-alice"."""
        super().__init__("portcullis:index:SshTunnel", name, None, opts)
        self.host, self.person = args.host, args.person
        keys: dict[str, pulumi.Input[str]] = {
            label: tunnel.key_line(line, args.targets) for label, line in args.keys.items()
        }
        self.private_key = None
        if not keys:
            made = tls.PrivateKey(f"{name}-key", algorithm="ED25519", opts=ResourceOptions(parent=self))
            self.private_key = pulumi.Output.secret(made.private_key_openssh)
            keys["generated"] = made.public_key_openssh.apply(
                lambda line: tunnel.key_line(f"{line.strip()} {args.account}", args.targets)
            )
        account = User(
            f"{name}-account",
            host=args.host,
            user=args.account,
            keys=keys,
            shell=tunnel.NOLOGIN,
            groups=(),
            end_sessions=True,
            on_delete="remove",
            adopt=args.adopt,
            opts=ResourceOptions(parent=self, depends_on=[*args.after]),
        )
        self.ready = [account]
        self.ca = next((target.ca for target in args.to.values() if target.ca is not None), None)
        local = tunnel_lines.local_ports(
            {store: target.port for store, target in args.to.items()}, args.taken
        )
        self.local_ports = tuple(local.values())
        self.described = pulumi.Output.from_input(
            {
                "account": args.account,
                "forwards": tunnel_lines.forwards({s: target.text for s, target in args.to.items()}, local),
                "generatedKey": self.private_key is not None,
                "tls": self.ca is not None,
                "connect": {
                    f"{store}-{label}": _url(target, label, login, local[store])
                    for store, target in args.to.items()
                    for label, login in target.logins.items()
                    if target.scheme
                },
            }
        )
        self.passwords = {
            f"{store}-{label}": pulumi.Output.secret(login.password)
            for store, target in args.to.items()
            for label, login in target.logins.items()
            if login.password is not None
        }
        self.register_outputs({"account": args.account})


def _url(target: TunnelTarget, label: str, login: StoreLogin, port: int) -> pulumi.Output[str]:
    # The name of a store's user is no secret, though it comes with the generation of one.
    user = pulumi.Output.unsecret(pulumi.Output.from_input(login.user))
    if target.scheme == "mongodb":
        return user.apply(lambda user: tunnel_lines.mongodb_url(user, label, port, tls=target.tls))
    return user.apply(lambda user: tunnel_lines.redis_url(user, port, tls=target.tls))


def export_tunnels(tunnels: Iterable[SshTunnel]) -> None:
    """Export what `make tunnels` and `make password` print, and each key that was made.

    The outputs are `tunnels` (person to host to what they need), `tunnelCa-HOST`, and the secrets
    `tunnelKey-PERSON-HOST` and `password-STORE-LOGIN`.
    """
    found: dict[str, dict[str, pulumi.Output[dict[str, object]]]] = {}
    for each in tunnels:
        found.setdefault(each.person, {})[each.host] = each.described
        if each.ca is not None:
            pulumi.export(f"tunnelCa-{each.host}", each.ca)
        if each.private_key is not None:
            pulumi.export(f"tunnelKey-{each.person}-{each.host}", each.private_key)
        for name, password in each.passwords.items():
            pulumi.export(f"password-{name}", password)
    pulumi.export("tunnels", found)
