"""Who gets in to a host over SSH, and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import pulumi
from pulumi import ResourceOptions

from portcullis.components.previews import render as preview
from portcullis.components.ssh.args import Keyword, RootLogin
from portcullis.components.ssh.render import sshd, sshd_refused
from portcullis.components.ssh.resource import SshServer
from portcullis.components.tunnels.args import TunnelAccount
from portcullis.components.tunnels.render import tunnel
from portcullis.config.arguments import validate
from portcullis.config.faults import Fault
from portcullis.config.forms import Alias, Login, Network, Os, Port
from portcullis.config.kinds import ListOf
from portcullis.dialect import DIALECTS
from portcullis.resources import Packages

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class SshAccessArgs:
    """What is particular about it.

    Attributes:
        host: alias of the host.
        os: its operating system, which decides what its OpenSSH understands.
        port: TCP port of SSH, the same as the host's in the settings.
        login: the user who deploys, the same as the host's in the settings.
        root_login: root with a key only, or not at all.
        exempt: addresses and networks that sshd never makes wait after failed logins.
        options: options of sshd_config that differ from ours; none that lets in without a key.
        tunnels: accounts that tunnel and do nothing else, named by `tunnels.render.tunnel.account`, each
            with the addresses and ports that it reaches. `SshTunnel` declares the accounts themselves.
        preview: the account of the preview key is there; `PreviewAccess` declares it.
        ufw: install ufw, whose rule for the port is kept here. Without it, and without ufw on the host, the
            port is open as nothing filters it.
        after: what has to be there before root is narrowed: the users that log in instead.
        adopt: replace what is there and differs, and put lines of others that win over ours out of force.

    Raises:
        ValueError: naming every attribute that cannot be used.
    """

    host: str
    os: str
    port: int = 22
    login: str = "root"
    root_login: Literal["prohibit-password", "no"] = "prohibit-password"
    exempt: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    tunnels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    preview: bool = False
    ufw: bool = True
    after: Sequence[pulumi.Resource] = ()
    adopt: bool = False

    def __post_init__(self) -> None:
        """Check what would otherwise fail on the host."""
        validate(
            self,
            {
                "host": Alias,
                "os": Os,
                "port": Port,
                "login": Login,
                "root_login": RootLogin,
                "exempt": ListOf[Network],
                "options": ListOf[Keyword],
                "tunnels": ListOf[TunnelAccount],
            },
        )
        refused = [
            str(Fault(f"SshAccessArgs.options.{name}", why, how))
            for name, why, how in sshd_refused.refusals(self.options)
        ]
        refused += [
            str(Fault(f"SshAccessArgs.options.{name}", why, how))
            for name, why, how in sshd_refused.shuts_out(self.options, self._accounts())
        ]
        if refused:
            raise ValueError("\n".join(refused))
        if self.tunnels and self.login.startswith(tunnel.PREFIX):
            raise ValueError(f"SshAccessArgs.login: {tunnel.PREFIX}… are accounts that only tunnel")
        if self.login == preview.ACCOUNT:
            raise ValueError(f"SshAccessArgs.login: {preview.ACCOUNT} looks, and cannot deploy")
        if self.root_login == "no" and self.login == "root":
            raise ValueError(
                "SshAccessArgs.root_login: refuses root, who is to log in; "
                "name a user with sudo as login, or write prohibit-password"
            )

    def _accounts(self) -> list[str]:
        """Name the accounts that an option of sshd could shut out."""
        return [*self.tunnels, *([preview.ACCOUNT] if self.preview else [])]


class SshAccess(pulumi.ComponentResource):
    """Keys only, one port, and nobody locked out on the way there.

    Attributes:
        ready: what has to be there before anything else may narrow access.
    """

    ready: list[pulumi.Resource]

    def __init__(self, name: str, args: SshAccessArgs, opts: ResourceOptions | None = None) -> None:
        """Declare it under `name`, such as "web1-ssh"."""
        super().__init__("portcullis:index:SshAccess", name, None, opts)
        packages = Packages(
            f"{name}-packages",
            host=args.host,
            names=["openssh-server", *(["ufw"] if args.ufw else [])],
            # The same as the firewall says of ufw: whoever goes last decides.
            on_delete="purge",
            never_purge=["openssh-server"],
            opts=ResourceOptions(parent=self),
        )
        dialect = DIALECTS[args.os]
        options = sshd.SshdOptions(
            port=args.port,
            login=args.login,
            root_login=args.root_login,
            exempt=args.exempt,
            more=args.options,
            tunnels=args.tunnels,
            preview=args.preview,
        )
        server = SshServer(
            f"{name}-server",
            host=args.host,
            content=sshd.drop_in(f"{name}-server", options, dialect),
            options=sshd.effective_options(options, dialect),
            users=sshd.effective_for_users(options),
            port=args.port,
            login=args.login,
            adopt=args.adopt,
            opts=ResourceOptions(parent=self, depends_on=[packages, *args.after]),
        )
        self.ready = [server]
        self.register_outputs({"port": server.port})
