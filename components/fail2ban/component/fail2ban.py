"""fail2ban: who tries to log in again and again is banned, for longer each time."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi import ResourceOptions

from portcullis.components.fail2ban.args import Tries
from portcullis.components.fail2ban.render import fail2ban
from portcullis.components.fail2ban.resource import Fail2banJail
from portcullis.config.arguments import validate
from portcullis.config.forms import Alias, Duration, Network, Os, Port
from portcullis.config.kinds import ListOf
from portcullis.resources import File, Packages, Service


@dataclass(frozen=True, slots=True)
class Fail2banArgs:
    """What fail2ban needs to know. Lengths of time are written as 600 (seconds), 10m, 12h, 7d, 8w.

    Attributes:
        host: alias of the host.
        os: its operating system.
        ssh_port: where its SSH server listens.
        ignore: addresses and networks that are never banned, besides the host's own: yours.
        max_retry: failed logins until the ban.
        find_time: within which they count.
        ban_time: how long the first ban lasts; every further one twice as long as the one before.
        max_ban_time: how long a ban lasts at most; at least `ban_time`.
        adopt: take over a jail, and replace files, that somebody set up.
        after: what has to be done before, such as an SSH server's move to `ssh_port`.

    Raises:
        ValueError: naming every attribute that cannot be used.
    """

    host: str
    os: str
    ssh_port: int = 22
    ignore: tuple[str, ...] = ()
    max_retry: int = 5
    find_time: str = "10m"
    ban_time: str = "7d"
    max_ban_time: str = "8w"
    adopt: bool = False
    after: tuple[pulumi.Resource, ...] = ()

    def __post_init__(self) -> None:
        """Check what fail2ban would not."""
        validate(
            self,
            {
                "host": Alias,
                "os": Os,
                "ssh_port": Port,
                "ignore": ListOf[Network],
                "max_retry": Tries,
                "find_time": Duration,
                "ban_time": Duration,
                "max_ban_time": Duration,
            },
        )


class Fail2ban(pulumi.ComponentResource):
    """fail2ban with a jail for the SSH server, and defaults for jails that are added.

    There is no jail `recidive`, which bans who was banned several times: bans that grow do the same, without
    a second jail that reads fail2ban's own log.

    Attributes:
        ignoreip: addresses and networks that no jail bans; for jails beside this one.
        ready: what has to be there before a jail can be declared beside this one.
    """

    ignoreip: list[str]
    ready: list[pulumi.Resource]

    def __init__(self, name: str, args: Fail2banArgs, opts: ResourceOptions | None = None) -> None:
        """Declare fail2ban under `name`, such as "web1-fail2ban"."""
        super().__init__("portcullis:index:Fail2ban", name, None, opts)
        self.ignoreip = fail2ban.ignored(args.ignore)
        longest = max(args.ban_time, args.max_ban_time, key=fail2ban.seconds)

        packages = Packages(
            f"{name}-packages",
            host=args.host,
            # The last two are only recommended: without them it reads no journal, and bans nobody.
            names=["fail2ban", "nftables", "python3-systemd"],
            on_delete="purge",
            opts=ResourceOptions(parent=self),
        )

        def config(part: str, path: str, content: str, *after: pulumi.Resource) -> File:
            return File(
                part,
                host=args.host,
                path=path,
                content=content,
                test=fail2ban.TEST,
                adopt=args.adopt,
                opts=ResourceOptions(parent=self, depends_on=after),
            )

        # First: with the packaged jail, Debian 12's configuration does not pass the test.
        defaults = config(
            f"{name}-defaults",
            fail2ban.DEFAULTS_PATH,
            fail2ban.defaults(
                f"{name}-defaults",
                self.ignoreip,
                max_retry=args.max_retry,
                find_time=args.find_time,
                ban_time=args.ban_time,
                max_ban_time=longest,
            ),
            packages,
        )
        server = config(
            f"{name}-server",
            fail2ban.SERVER_PATH,
            fail2ban.server(f"{name}-server", args.ban_time),
            defaults,
        )
        service = Service(
            f"{name}-service",
            host=args.host,
            unit="fail2ban.service",
            reads=[packages, defaults, server],
            on_change="reload",
            adopt=args.adopt,
            opts=ResourceOptions(parent=self, depends_on=[packages, defaults, server]),
        )
        jail = Fail2banJail(
            f"{name}-sshd",
            host=args.host,
            jail="sshd",
            options=fail2ban.sshd(
                args.ssh_port,
                max_retry=args.max_retry,
                find_time=args.find_time,
                ban_time=args.ban_time,
                max_ban_time=longest,
            ),
            ignoreip=self.ignoreip,
            adopt=args.adopt,
            opts=ResourceOptions(parent=self, depends_on=[service, *args.after]),
        )
        self.ready = [service, jail]
        self.register_outputs({"jail": jail.jail, "options": jail.options})
