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

    Raises:
        ArgumentsError: naming every attribute that cannot be used.
    """

    port: int
    address: str = "172.17.0.1"
    scheme: Literal["redis", "mongodb"] | None = None
    logins: Mapping[str, StoreLogin] = field(default_factory=lambda: MappingProxyType({}))
    tls: bool = False
    ca: pulumi.Input[str] | None = None

    def __post_init__(self) -> None:
        """Check what would otherwise fail on the host."""
        wrong = faults_in(Port, self.port, "TunnelTarget.port")
        if not tunnel_lines.is_address(self.address):
            why = f"{shown(self.address)} is not an IP address"
            wrong.append(Fault("TunnelTarget.address", why, "sshd compares it as it stands"))
        if wrong:
            raise ArgumentsError(wrong)

    @property
    def text(self) -> str:
        """ADDRESS:PORT, as sshd takes it."""
        return tunnel_lines.target(self.address, self.port)


def tunnel_accounts(
    people: Mapping[str, TunnelArgs], targets: Mapping[str, TunnelTarget]
) -> dict[str, tuple[str, ...]]:
    """Return what `SshAccess` takes as `tunnels`: each person's account, with what it reaches.

    Args:
        people: what each person may reach, by the person's name.
        targets: where each store is.

    Raises:
        ArgumentsError: naming every store that has no target.
    """
    if wrong := [fault for args in people.values() for fault in _without_target(args, targets)]:
        raise ArgumentsError(wrong)
    return {tunnel.account(person): _reached(args, targets) for person, args in people.items()}


class SshTunnel(pulumi.ComponentResource):
    """An account that forwards to the named ports: no password, shell, command, file transfer or terminal.

    Both the key's line and sshd's own block say so. When a key goes or may reach less, and when the person
    goes, connections that are open end.

    Declare it after the host's `SshAccess`, whose `tunnels` name the account.

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
        person: whose it is; the account is `tunnel-PERSON`.
        private_key: the key that was made, secret, in OpenSSH's format; None where the person has their own.
        described: what they need to use it, without secrets and without the host's address.
        passwords: name of a store and a login to its password, secret.
        ca: certificate of the stores' authority, or None where they speak no TLS.
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
        """Declare it.

        Args:
            name: the component's name, such as "web1-tunnel-alice".
            args: which stores the person may reach, and with which keys; without any key, one is made.
            host: the host that it goes through. With `adopt`, an account that is there and differs is taken
                over.
            person: who it is; the account is `tunnel-PERSON`.
            targets: where each store is. It may name more stores than the person reaches.
            taken: local ports of this person's tunnels to other hosts.
            opts: options of the component.

        Raises:
            ArgumentsError: naming every argument that cannot be used.
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
        Fault(f"TunnelArgs.to[{index}]", f"{shown(store)} is none of the targets", closest(store, targets))
        for index, store in enumerate(args.to)
        if store not in targets
    ]


def _reached(args: TunnelArgs, targets: Mapping[str, TunnelTarget]) -> tuple[str, ...]:
    """Return what the account may reach, each as ADDRESS:PORT."""
    return tuple(sorted({targets[store].text for store in args.to}))


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
        found.setdefault(each.person, {})[each.host.alias] = each.described
        if each.ca is not None:
            pulumi.export(f"tunnelCa-{each.host.alias}", each.ca)
        if each.private_key is not None:
            pulumi.export(f"tunnelKey-{each.person}-{each.host.alias}", each.private_key)
        for name, password in each.passwords.items():
            pulumi.export(f"password-{name}", password)
    pulumi.export("tunnels", found)
