"""A whole host: who gets in, what is open, what keeps it so; the Docker engine, its apps, and nginx."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

import pulumi
from pulumi import ResourceOptions

from components.docker_engine import DockerEngine, DockerEngineArgs
from components.fail2ban import Fail2ban, Fail2banArgs
from components.firewall import WEB, Firewall, FirewallArgs
from components.kernel_settings import KernelSettings, KernelSettingsArgs
from components.login_policy import LoginPolicy, LoginPolicyArgs
from components.private_container import PrivateContainer, PrivateContainerArgs
from components.reverse_proxy import ProxiedApp, ProxiedSite, ReverseProxy, ReverseProxyArgs
from components.ssh_access import SshAccess, SshAccessArgs
from components.system_updates import SystemUpdates, SystemUpdatesArgs
from components.upkeep import Upkeep, UpkeepArgs
from components.users import Users, UsersArgs
from portcullis.render.health import http_check

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.settings import AppSettings, FirewallRule, HostSettings, SiteSettings


@dataclass(frozen=True, slots=True)
class HardenedHostArgs:
    """What a host carries, as the settings declare it.

    Attributes:
        host: the host itself.
        apps: the apps that it runs, by name.
        sites: what it serves, by host name; each names one of its apps.
        secret: the apps hold an encrypted value; what a container is given of them is marked secret.

    Raises:
        ValueError: naming a site whose app is not here or is not published.
    """

    host: HostSettings
    apps: Mapping[str, AppSettings] = field(default_factory=dict)
    sites: Mapping[str, SiteSettings] = field(default_factory=dict)
    secret: bool = False

    def __post_init__(self) -> None:
        """Check that the parts fit together."""
        for name, site in self.sites.items():
            if site.app not in self.apps or self.apps[site.app].host_port is None:
                raise ValueError(f"HardenedHostArgs.sites.{name}: {site.app!r} is not a published app here")


class HardenedHost(pulumi.ComponentResource):
    """One host of a stack, by its alias.

    First contact is whoever the bare host lets in. The users come first, then the SSH server is narrowed to
    them, each proven by a fresh login; then what is open is closed, and only then does a container start.

    Attributes:
        access: its SSH server.
        firewall: what is open on it, and what may reach its containers.
        engine: its Docker engine.
        apps: its containers, by name.
        proxy: its nginx, or None where it serves no site.
    """

    access: SshAccess
    firewall: Firewall
    engine: DockerEngine
    apps: dict[str, PrivateContainer]
    proxy: ReverseProxy | None

    def __init__(self, name: str, args: HardenedHostArgs, opts: ResourceOptions | None = None) -> None:
        """Declare the host; `name` is its alias in ssh_config."""
        super().__init__("portcullis:index:HardenedHost", name, None, opts)
        self._name, self._args, self._own = name, args, ResourceOptions(parent=self)

        self._harden()
        self._keep_up()
        self.apps = {
            app: PrivateContainer(app, self._container(app, settings), opts=self._own)
            for app, settings in args.apps.items()
        }
        self.proxy = self._proxy() if args.sites else None
        self.register_outputs(
            {
                "apps": {app: container.address for app, container in self.apps.items()},
                "sites": [f"http://{host_name}" for host_name in sorted(args.sites)],
            }
        )

    def _harden(self) -> None:
        """Declare what decides who and what gets in, and the engine that starts behind it."""
        name, host, own = self._name, self._args.host, self._own
        users = Users(
            f"{name}-users",
            UsersArgs(
                host=name,
                users=host.users,
                login=host.user,
                # Whoever deploys speaks to Docker's socket, which is its group's.
                groups={host.user: ("docker",)} if host.user in host.users and host.user != "root" else {},
                adopt=host.adopt,
            ),
            opts=own,
        )
        self.access = SshAccess(
            f"{name}-ssh",
            SshAccessArgs(
                host=name,
                os=host.os,
                port=host.port,
                login=host.user,
                root_login=host.ssh.root_login,
                exempt=host.fail2ban.ignore,
                options=host.ssh.options,
                after=tuple(users.ready),
                adopt=host.adopt,
            ),
            opts=own,
        )
        self.firewall = Firewall(
            f"{name}-firewall",
            FirewallArgs(
                host=name,
                os=host.os,
                allow={**(WEB if self._args.sites else {}), **_rules(host.firewall.allow)},
                logging=host.firewall.logging,
                bind_address=host.docker_engine.bind_address,
                public={port.replace(":", "-"): rule.sources for port, rule in host.firewall.public.items()},
                egress={
                    bridge(app): settings.egress
                    for app, settings in self._args.apps.items()
                    if settings.egress is not None
                },
                outside=host.firewall.outside,
                after=tuple(self.access.ready),
                adopt=host.adopt,
            ),
            opts=own,
        )
        self.engine = DockerEngine(
            f"{name}-docker",
            DockerEngineArgs(
                host=name,
                os=host.os,
                bip=host.docker_engine.bip,
                address_pools=host.docker_engine.address_pools,
                reached=(
                    host.address,
                    *([host.jump.address] if host.jump else []),
                    *host.fail2ban.ignore,
                ),
                # The docker provider logs in as declared, and no container starts before the filter stands.
                after=(*self.access.ready, *self.firewall.ready),
                adopt=host.adopt,
            ),
            opts=own,
        )
        ban = host.fail2ban
        Fail2ban(
            f"{name}-fail2ban",
            Fail2banArgs(
                host=name,
                os=host.os,
                ssh_port=host.port,
                ignore=ban.ignore,
                max_retry=ban.max_retry,
                find_time=ban.find_time,
                ban_time=ban.ban_time,
                after=tuple(self.access.ready),
                adopt=host.adopt,
            ),
            opts=own,
        )

    def _keep_up(self) -> None:
        """Declare what the host is and stays: kernel, logins, updates, room."""
        name, host, own = self._name, self._args.host, self._own
        KernelSettings(
            f"{name}-kernel",
            KernelSettingsArgs(
                host=name,
                values=host.kernel.values,
                only=host.kernel.only,
                adopt=host.adopt,
                after=tuple(self.firewall.ready),
            ),
            opts=own,
        )
        LoginPolicy(f"{name}-login", LoginPolicyArgs(host=name, adopt=host.adopt), opts=own)
        updates = SystemUpdates(
            f"{name}-updates",
            SystemUpdatesArgs(
                host=name,
                os=host.os,
                reboot=host.updates.reboot,
                docker=host.updates.docker,
                adopt=host.adopt,
            ),
            opts=own,
        )
        upkeep = host.upkeep
        Upkeep(
            f"{name}-upkeep",
            UpkeepArgs(
                host=name,
                os=host.os,
                journal=upkeep.journal,
                image_prune=upkeep.image_prune,
                time_sync=upkeep.time_sync,
                swap=upkeep.swap,
                notify=upkeep.notify,
                after=updates.ready,
                adopt=host.adopt,
            ),
            opts=own,
        )

    def _proxy(self) -> ReverseProxy:
        args = self._args
        sites = {
            host_name: self._proxied(site, args.apps[site.app]) for host_name, site in args.sites.items()
        }
        return ReverseProxy(
            f"{self._name}-nginx",
            ReverseProxyArgs(host=self._name, sites=sites, adopt=args.host.adopt),
            opts=self._own,
        )

    def _container(self, name: str, app: AppSettings) -> PrivateContainerArgs:
        if app.health_command is not None:
            health = ["CMD", *app.health_command]
        elif app.health is not None and app.port is not None:
            health = http_check(app.port, app.health)
        else:
            raise ValueError("AppSettings: health with port, or health_command, is missing")
        return PrivateContainerArgs(
            engine=self.engine,
            image=app.image,
            health=tuple(health),
            port=app.port,
            host_port=app.host_port,
            env=app.env,
            command=app.command,
            user=app.user,
            memory=app.memory,
            cpus=app.cpus,
            bridge=None if app.egress is None else bridge(name),
            secret=self._args.secret,
        )

    def _proxied(self, site: SiteSettings, app: AppSettings) -> ProxiedSite:
        if app.host_port is None:
            raise ValueError(f"{site.app} is not published")
        answers = ProxiedApp(self.engine.bind_address, app.host_port, (self.apps[site.app],))
        return ProxiedSite({"/": answers})


def bridge(app: str) -> str:
    """Return the name of an app's network interface: 15 characters at most, and another for each app."""
    if len(app) <= 12:  # noqa: PLR2004 - linux/if.h: IFNAMSIZ is 16, the last byte a zero
        return f"br-{app}"
    return f"br-{app[:5]}-{sha256(app.encode()).hexdigest()[:6]}"


def _rules(allow: Mapping[str, FirewallRule]) -> dict[str, str]:
    """Give ufw's rules for what the settings open; one for each network that may."""
    return {
        f"{port} from {source}" if source else port: "from the settings"
        for port, rule in allow.items()
        for source in rule.sources or ("",)
    }
