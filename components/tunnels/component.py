"""The component for an SSH tunnel, through which a person's database tools reach the stores of a host."""

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
from portcullis.config.arguments import faults_in
from portcullis.config.faults import ArgumentsError, Fault, closest, shown
from portcullis.config.forms import Port
from portcullis.config.value_types import ListOf

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from portcullis.components.tunnels.args import TunnelArgs
    from portcullis.host import Host


@dataclass(frozen=True, slots=True)
class StoreLogin:
    """The login of a store's user, for a database tool. User and password may be outputs."""

    user: pulumi.Input[str]
    password: pulumi.Input[str] | None = None

    @classmethod
    def of(cls, url: pulumi.Input[str]) -> StoreLogin:
        """Return the login in a connection string, such as an app's `redis_url`."""
        parts = pulumi.Output.from_input(url).apply(urlsplit)
        return cls(
            parts.apply(lambda found: unquote(found.username or "")),
            parts.apply(lambda found: unquote(found.password or "")),
        )


@dataclass(frozen=True, slots=True)
class TunnelTarget:
    """The end of a tunnel: a port on an address that the host can reach.

    Attributes:
        port: TCP port of the store.
        address: IP address of the store. The default is the address of docker0, where stores publish ports.
        scheme: the protocol of the store. Without `scheme`, `make tunnels` prints no connection string.
        logins: users of the store, by a label. For MongoDB, the label is the database. For PostgreSQL, the
            label is the database and the app, such as `shop-api`.
        tls: whether the store speaks TLS.
        ca: certificate of the authority that signed the store's certificate. People's tools need this
            certificate, too.

    Raises:
        ArgumentsError: an attribute is invalid. The error lists every fault.
    """

    port: int
    address: str = "172.17.0.1"
    scheme: Literal["redis", "mongodb", "postgres"] | None = None
    logins: Mapping[str, StoreLogin] = field(default_factory=lambda: MappingProxyType({}))
    tls: bool = False
    ca: pulumi.Input[str] | None = None

    def __post_init__(self) -> None:
        """Check the values when the object is created.

        Without this check, a wrong value would fail only on the host.
        """
        wrong = faults_in(Port, self.port, "TunnelTarget.port")
        if not tunnel_lines.is_address(self.address):
            why = f"{shown(self.address)} is not an IP address"
            wrong.append(
                Fault("TunnelTarget.address", why, "write an IP address: sshd does not resolve names here")
            )
        if wrong:
            raise ArgumentsError(wrong)

    @property
    def text(self) -> str:
        """The target as ADDRESS:PORT, in the form that sshd expects."""
        return tunnel_lines.target(self.address, self.port)


def tunnel_accounts(
    people: Mapping[str, TunnelArgs], targets: Mapping[str, TunnelTarget]
) -> dict[str, tuple[str, ...]]:
    """Return the argument `tunnels` of `SshAccess`: each person's account, with the targets of this account.

    Args:
        people: each person's tunnel, by the person's name.
        targets: the target of each store.

    Raises:
        ArgumentsError: a store has no target. The error lists every such store.
    """
    if wrong := [fault for args in people.values() for fault in _without_target(args, targets)]:
        raise ArgumentsError(wrong)
    return {tunnel.account(person): _reached(args, targets) for person, args in people.items()}


class SshTunnel(pulumi.ComponentResource):
    """An account that may only open tunnels to the named ports, without password, shell or file transfer.

    Two rules restrict the account: the options of its key, and a block in sshd's configuration. If you remove
    a key, a target or the whole account, `up` ends the account's open connections.

    Declare this component after the host's `SshAccess`, and name the account in the argument `tunnels` of
    `SshAccess`.

    Example:
        ```python
        import pulumi

        from portcullis.components import (
            SshAccess,
            SshArgs,
            SshTunnel,
            TunnelArgs,
            TunnelTarget,
            export_tunnels,
            tunnel_accounts,
        )
        from portcullis.host import Connection, Host, write_ssh_config

        HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq"
        LAPTOP = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO2q8YREHwHGm/XQKhkVbx8c7BWkBJUW+xFGrlQUqG8U"

        write_ssh_config({"web1": Connection("203.0.113.10", host_key=HOST_KEY)})
        host = Host("web1", os="debian-13")
        stores = {"redis": TunnelTarget(6379, scheme="redis")}
        people = {"alice": TunnelArgs(to=["redis"], keys={"laptop": LAPTOP})}
        access = SshAccess("web1-ssh", SshArgs(), host=host, tunnels=tunnel_accounts(people, stores))
        alice = SshTunnel(
            "web1-tunnel-alice",
            people["alice"],
            host=host,
            person="alice",
            targets=stores,
            opts=pulumi.ResourceOptions(depends_on=[access]),
        )
        export_tunnels([alice])
        ```

    Attributes:
        host: the host.
        person: the person's name. The account is `tunnel-PERSON`.
        private_key: the generated key in OpenSSH's format, a secret. `private_key` is None if the person has
            declared keys.
        described: the data that the person needs to use the tunnel, without secrets and without the host's
            address.
        passwords: the password of each login, by `STORE-LOGIN`; a secret.
        ca: certificate of the stores' authority. `ca` is None if the stores do not speak TLS.
        local_ports: the ports on the person's own machine.
    """

    private_key: pulumi.Output[str] | None
    described: pulumi.Output[dict[str, object]]
    passwords: dict[str, pulumi.Output[str]]
    ca: pulumi.Input[str] | None

    def __init__(
        self,
        name: str,
        args: TunnelArgs,
        *,
        host: Host,
        person: str,
        targets: Mapping[str, TunnelTarget],
        taken: Sequence[int] = (),
        opts: ResourceOptions | None = None,
    ) -> None:
        """Declare the tunnel.

        Args:
            name: the component's name, such as "web1-tunnel-alice".
            args: the stores that the person may reach, and the person's keys. Without keys, the component
                generates a key.
            host: the host that the tunnel goes through. If the host has `adopt`, `up` changes an existing
                account that differs from the declaration.
            person: the person's name. The account is `tunnel-PERSON`.
            targets: the target of each store, also of stores that the person may not reach.
            taken: local ports of this person's tunnels to other hosts.
            opts: options of the component.

        Raises:
            ArgumentsError: an argument is invalid. The error lists every fault.
        """
        wrong = [
            *faults_in(Person, person, "SshTunnel.person"),
            *faults_in(ListOf[Port], taken, "SshTunnel.taken"),
            *_without_target(args, targets),
        ]
        if wrong:
            raise ArgumentsError(wrong)
        super().__init__("portcullis:index:SshTunnel", name, None, opts)
        self.host, self.person = host, person
        account, reached = tunnel.account(person), _reached(args, targets)
        to = {store: targets[store] for store in args.to}
        keys: dict[str, pulumi.Input[str]] = {
            label: tunnel.key_line(line, reached) for label, line in args.keys.items()
        }
        self.private_key = None
        if not keys:
            made = tls.PrivateKey(f"{name}-key", algorithm="ED25519", opts=ResourceOptions(parent=self))
            self.private_key = pulumi.Output.secret(made.private_key_openssh)
            keys["generated"] = made.public_key_openssh.apply(
                lambda line: tunnel.key_line(f"{line.strip()} {account}", reached)
            )
        User(
            f"{name}-account",
            host=host,
            user=account,
            keys=keys,
            shell=tunnel.NOLOGIN,
            groups=(),
            end_sessions=True,
            on_delete="remove",
            opts=ResourceOptions(parent=self),
        )
        self.ca = next((target.ca for target in to.values() if target.ca is not None), None)
        local = tunnel_lines.local_ports({store: target.port for store, target in to.items()}, taken)
        self.local_ports = tuple(local.values())
        self.described = pulumi.Output.from_input(
            {
                "account": account,
                "forwards": tunnel_lines.forwards({s: target.text for s, target in to.items()}, local),
                "generatedKey": self.private_key is not None,
                "tls": self.ca is not None,
                "connect": {
                    f"{store}-{label}": _url(target, label, login, local[store])
                    for store, target in to.items()
                    for label, login in target.logins.items()
                    if target.scheme
                },
            }
        )
        self.passwords = {
            f"{store}-{label}": pulumi.Output.secret(login.password)
            for store, target in to.items()
            for label, login in target.logins.items()
            if login.password is not None
        }
        self.register_outputs({"account": account})


def _without_target(args: TunnelArgs, targets: Mapping[str, TunnelTarget]) -> list[Fault]:
    return [
        Fault(f"TunnelArgs.to[{index}]", f"{shown(store)} has no target", closest(store, targets))
        for index, store in enumerate(args.to)
        if store not in targets
    ]


def _reached(args: TunnelArgs, targets: Mapping[str, TunnelTarget]) -> tuple[str, ...]:
    """Return the targets that the account may reach, each as ADDRESS:PORT."""
    return tuple(sorted({targets[store].text for store in args.to}))


def _url(target: TunnelTarget, label: str, login: StoreLogin, port: int) -> pulumi.Output[str]:
    # The user name is not secret, but Pulumi marks it as a secret, because its output depends on one.
    user = pulumi.Output.unsecret(pulumi.Output.from_input(login.user))
    if target.scheme == "mongodb":
        return user.apply(lambda user: tunnel_lines.mongodb_url(user, label, port, tls=target.tls))
    if target.scheme == "postgres":
        database, _, _ = label.partition("-")  # a database has no dash in its name, but an app may have one
        return user.apply(lambda user: tunnel_lines.postgres_url(user, database, port, tls=target.tls))
    return user.apply(lambda user: tunnel_lines.redis_url(user, port, tls=target.tls))


def export_tunnels(tunnels: Iterable[SshTunnel]) -> None:
    """Export the outputs that `make tunnels` and `make password` print, and each generated key.

    The outputs are `tunnels` (person to host to `SshTunnel.described`), `tunnelCa-HOST`, and the secrets
    `tunnelKey-PERSON-HOST` and `password-STORE-LOGIN`.
    """
    found: dict[str, dict[str, pulumi.Output[dict[str, object]]]] = {}
    for each in tunnels:
        found.setdefault(each.person, {})[each.host.alias] = each.described
        if each.ca is not None:
            pulumi.export(f"tunnelCa-{each.host.alias}", each.ca)
        if each.private_key is not None:
            pulumi.export(f"tunnelKey-{each.person}-{each.host.alias}", each.private_key)
        for name, password in each.passwords.items():
            pulumi.export(f"password-{name}", password)
    pulumi.export("tunnels", found)
