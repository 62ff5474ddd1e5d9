"""The component for SSH access, which says who may log in to a host, and how."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import pulumi
from pulumi import ResourceOptions

from portcullis.components.previews.render import ACCOUNT
from portcullis.components.ssh.render import sshd, sshd_refused
from portcullis.components.ssh.resource import SshServer
from portcullis.components.tunnels.args import TunnelAccount
from portcullis.components.tunnels.render import tunnel
from portcullis.config.arguments import faults_in
from portcullis.config.faults import ArgumentsError, Fault
from portcullis.config.forms import Login, Network, Port
from portcullis.config.value_types import ListOf, MapOf
from portcullis.dialect import DIALECTS
from portcullis.resources import Packages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from portcullis.components.ssh.args import SshArgs
    from portcullis.host import Host

_Tunnels = MapOf[TunnelAccount, ListOf[str]]


class SshAccess(pulumi.ComponentResource):
    """An SSH server that accepts keys only, on one port. The host takes back a change that locks you out.

    Declare this component after the users that log in instead of root, and before the firewall.

    Example:
        ```python
        from portcullis.components import SshAccess, SshArgs
        from portcullis.host import Connection, Host, write_ssh_config

        HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq"

        write_ssh_config({"web1": Connection("203.0.113.10", port=2222, host_key=HOST_KEY)})
        SshAccess(
            "web1-ssh",
            SshArgs(options={"MaxSessions": "20"}),
            host=Host("web1", os="debian-13"),
            port=2222,
            exempt=["203.0.113.7"],
        )
        ```

    Attributes:
        server: the resource of the SSH server. Add `server` to the `depends_on` of a resource that must come
            after the change of SSH access.
    """

    server: SshServer

    def __init__(
        self,
        name: str,
        args: SshArgs,
        *,
        host: Host,
        port: int = 22,
        login: str = "root",
        exempt: Sequence[str] = (),
        tunnels: Mapping[str, Sequence[str]] = MappingProxyType({}),
        preview: bool = False,
        ufw: bool = True,
        accepted: Mapping[str, str] | None = None,
        opts: ResourceOptions | None = None,
    ) -> None:
        """Declare the SSH access.

        Args:
            name: the component's name, such as "web1-ssh".
            args: the settings of the SSH server.
            host: the host. The host's operating system decides which options its OpenSSH understands. If the
                host has `adopt`, `up` replaces an existing drop-in that differs from the declared one. If a
                line of another file wins over ours, `up` also turns that line into a comment.
            port: TCP port of SSH, the same as in the host's connection.
            login: the user who deploys, the same as in the host's connection.
            exempt: addresses and networks that sshd never delays after failed logins.
            tunnels: accounts that may only open tunnels, each with the addresses and ports that it may
                reach. `tunnel_accounts` returns this map. `SshTunnel` declares the accounts themselves.
            preview: whether `PreviewAccess` declares the account of the preview key on this host.
            ufw: install ufw, and manage its rule for the port. Without ufw on the host, nothing filters the
                port, so the port is open.
            accepted: undeclared files that sshd may read, by path, each with the reason.
            opts: options of the component.

        Raises:
            ArgumentsError: an argument is invalid, or an option refuses a declared user. The error lists
                every fault.
        """
        wrong = [
            *faults_in(Port, port, "SshAccess.port"),
            *faults_in(Login, login, "SshAccess.login"),
            *faults_in(ListOf[Network], exempt, "SshAccess.exempt"),
            *faults_in(_Tunnels, tunnels, "SshAccess.tunnels"),
            *_shut_out(args, login, tunnels, preview=preview),
        ]
        if wrong:
            raise ArgumentsError(wrong)
        super().__init__("portcullis:index:SshAccess", name, None, opts)
        packages = Packages(
            f"{name}-packages",
            host=host,
            names=["openssh-server", *(["ufw"] if ufw else [])],
            # The firewall also declares the package ufw. The resource that the engine deletes last removes
            # the package.
            on_delete="purge",
            never_purge=["openssh-server"],
            opts=ResourceOptions(parent=self),
        )
        dialect = DIALECTS[host.os]
        options = sshd.SshdOptions(
            port=port,
            login=login,
            root_login=args.root_login,
            exempt=tuple(exempt),
            more=args.options,
            tunnels=tunnels,
            preview=preview,
        )
        server = SshServer(
            f"{name}-server",
            host=host,
            content=sshd.drop_in(f"{name}-server", options, dialect),
            options=sshd.effective_options(options, dialect),
            users=sshd.effective_for_users(options),
            port=port,
            login=login,
            accepted=accepted,
            opts=ResourceOptions(parent=self, depends_on=[packages]),
        )
        self.server = server
        self.register_outputs({"port": server.port})


def _shut_out(
    args: SshArgs, login: str, tunnels: Mapping[str, Sequence[str]], *, preview: bool
) -> Iterator[Fault]:
    """Yield a fault for each option that refuses a declared account, and for a `login` that cannot deploy."""
    accounts = [*tunnels, *([ACCOUNT] if preview else [])]
    for name, why, how in sshd_refused.shuts_out(args.options, accounts):
        yield Fault(f"SshArgs.options.{name}", why, how)
    if tunnels and login.startswith(tunnel.PREFIX):
        why = f"an account whose name starts with {tunnel.PREFIX} may only open tunnels"
        yield Fault("SshAccess.login", why, "name another user")
    if login == ACCOUNT:
        yield Fault(
            "SshAccess.login", f"the account {ACCOUNT} may only preview, not deploy", "name another user"
        )
    if args.root_login == "no" and login == "root":
        how = "name a user with sudo as login, or write prohibit-password"
        yield Fault("SshArgs.root_login", "refuses root, but the login is root", how)
