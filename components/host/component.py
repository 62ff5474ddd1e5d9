"""A whole host: who gets in, what is open, what keeps it so; the Docker engine, its apps, and nginx."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pulumi
from pulumi import ResourceOptions

from portcullis.components.containers.apps import AppParts, app, bridge
from portcullis.components.containers.component import PrivateContainer  # noqa: TC001 - Pulumi evaluates annotations
from portcullis.components.docker.component import DockerEngine, DockerEngineArgs
from portcullis.components.exposure.component import HostExposure, HostExposureArgs
from portcullis.components.fail2ban.component.fail2ban import Fail2ban, Fail2banArgs
from portcullis.components.fail2ban.component.proxy_jails import ProxyJails, ProxyJailsArgs
from portcullis.components.firewall.component import WEB, Firewall, FirewallArgs
from portcullis.components.host.sites import authority, proxied
from portcullis.components.host.stores import MONGO, REDIS, Stores, StoresArgs, reachable, sealed
from portcullis.components.kernel.component import KernelSettings, KernelSettingsArgs
from portcullis.components.nginx import render as nginx
from portcullis.components.nginx.args import ProxiedApp
from portcullis.components.nginx.component import ReverseProxy, ReverseProxyArgs
from portcullis.components.previews import render as preview
from portcullis.components.previews.component import PreviewAccess, PreviewAccessArgs
from portcullis.components.ssh.component import SshAccess, SshAccessArgs
from portcullis.components.tunnels.component import SshTunnel, SshTunnelArgs
from portcullis.components.tunnels.render.tunnel import account
from portcullis.components.updates.component import SystemUpdates, SystemUpdatesArgs
from portcullis.components.upkeep.component import Upkeep, UpkeepArgs
from portcullis.components.users.component.login_policy import LoginPolicy, LoginPolicyArgs
from portcullis.components.users.component.users import Users, UsersArgs
from portcullis.registry import login_of
from portcullis.settings.stores import NO_STORES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.settings import AppSettings, FirewallRule, HostSettings, SiteSettings
    from portcullis.settings.acme import AcmeSettings
    from portcullis.settings.backups import BackupSettings
    from portcullis.settings.model import Credentials
    from portcullis.settings.stores import StoresSettings
    from portcullis.settings.tunnels import TunnelSettings


@dataclass(frozen=True, slots=True)
class HardenedHostArgs:
    """What a host carries, as the settings declare it.

    Attributes:
        host: the host itself.
        apps: the apps that it runs, by name.
        sites: what it serves, by host name; each names apps of it, or files.
        acme: who issues certificates for them.
        stores: the stores that it runs.
        backups: how they are backed up; None is not at all.
        secrets: what the stack's secrets hold, by name; an app gets those that it names.
        registries: logins at image registries, by the registry's name.
        tunnels: who may tunnel to the stores.
        preview_key: the public key that may look at the host, where its `preview` says so.
        secret: the apps hold an encrypted value; what a container is given of them is marked secret.

    Raises:
        ValueError: naming a site whose app is not here or is not published.
    """

    host: HostSettings
    apps: Mapping[str, AppSettings] = field(default_factory=dict)
    sites: Mapping[str, SiteSettings] = field(default_factory=dict)
    acme: AcmeSettings | None = None
    stores: StoresSettings = NO_STORES
    backups: BackupSettings | None = None
    secrets: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    registries: Mapping[str, Credentials] = field(default_factory=dict)
    tunnels: Mapping[str, TunnelSettings] = field(default_factory=dict)
    preview_key: pulumi.Input[str] | None = None
    secret: bool = False

    def __post_init__(self) -> None:
        """Check that the parts fit together."""
        for name, site in self.sites.items():
            for served in site.apps.values():
                if served not in self.apps or self.apps[served].port is None:
                    raise ValueError(f"HardenedHostArgs.sites.{name}: {served!r} is not a published app here")


class HardenedHost(pulumi.ComponentResource):
    """One host of a stack, by its alias.

    First contact is whoever the bare host lets in. The users come first, then the SSH server is narrowed to
    them, each proven by a fresh login; then what is open is closed, and only then does a container start.

    Attributes:
        access: its SSH server.
        firewall: what is open on it, and what may reach its containers.
        engine: its Docker engine.
        stores: its Redis and MongoDB, or None.
        apps: its containers, by name.
        tunnels: ways to its stores, one for each person.
        proxy: its nginx, or None where it serves no site.
        exposure: what it exposes, read back.
    """

    access: SshAccess
    firewall: Firewall
    engine: DockerEngine
    stores: Stores | None
    apps: dict[str, PrivateContainer]
    tunnels: list[SshTunnel]
    proxy: ReverseProxy | None
    exposure: HostExposure

    def __init__(self, name: str, args: HardenedHostArgs, opts: ResourceOptions | None = None) -> None:
        """Declare the host; `name` is its alias in ssh_config."""
        super().__init__("portcullis:index:HardenedHost", name, None, opts)
        self._name, self._args, self._own = name, args, ResourceOptions(parent=self)

        self._harden()
        self._keep_up()
        self.stores = self._stores() if args.stores != NO_STORES else None
        self.apps = {app: self._app(app, settings) for app, settings in args.apps.items()}
        self.tunnels = self._tunnels()
        self.proxy = self._proxy() if args.sites else None
        if self.proxy:
            self._jails(self.proxy)
        self.exposure = self._exposure()
        self.register_outputs(
            {
                "apps": {app: container.address for app, container in self.apps.items()},
                "sites": addresses(args.sites),
                # For the policy pack, which sees no connection: they are not in the state.
                "host_key": _host_key(args.host),
            }
        )

    def _harden(self) -> None:
        """Declare what decides who and what gets in, and the engine that starts behind it."""
        name, host, own = self._name, self._args.host, self._own
        reached = reachable(self._args.stores, host.docker_engine.bind_address)
        users = Users(
            f"{name}-users",
            UsersArgs(
                host=name,
                users=host.users,
                login=host.user,
                # Whoever deploys speaks to Docker's socket, which is its group's.
                groups={host.user: ("docker",)} if host.user in host.users and host.user != "root" else {},
                sudoers=(preview.SUDOERS,) if self._is_shown else (),
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
                tunnels={
                    account(person): tuple(sorted(reached[store].text for store in tunnel.to))
                    for person, tunnel in self._args.tunnels.items()
                },
                preview=self._is_shown,
                after=tuple(users.ready),
                adopt=host.adopt,
            ),
            opts=own,
        )
        self._show()
        self.firewall = Firewall(
            f"{name}-firewall",
            FirewallArgs(
                host=name,
                os=host.os,
                allow={**(WEB if self._args.sites else {}), **_rules(host.firewall.allow)},
                logging=host.firewall.logging,
                bind_address=host.docker_engine.bind_address,
                public={port.replace(":", "-"): rule.sources for port, rule in host.firewall.public.items()},
                egress=sealed(self._args.stores)
                | {
                    bridge(name): settings.egress
                    for name, settings in self._args.apps.items()
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
        self._fail2ban = Fail2ban(
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

    @property
    def _is_shown(self) -> bool:
        return self._args.host.preview is not None and self._args.preview_key is not None

    def _show(self) -> None:
        """Declare who may look at the host."""
        host, key = self._args.host, self._args.preview_key
        if host.preview is None or key is None:
            return
        PreviewAccess(
            f"{self._name}-preview",
            PreviewAccessArgs(
                host=self._name,
                key=key,
                sources=host.preview.sources,
                # sshd's own block for the account stands before the account does.
                after=tuple(self.access.ready),
                adopt=host.adopt,
            ),
            opts=self._own,
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

    def _stores(self) -> Stores:
        args = self._args
        kernel = args.host.kernel.only
        return Stores(
            f"{self._name}-stores",
            StoresArgs(
                host=self._name,
                engine=self.engine,
                settings=args.stores,
                backups=args.backups,
                overcommit=not kernel or "vm.overcommit_memory".startswith(kernel),
                adopt=args.host.adopt,
            ),
            opts=self._own,
        )

    def _app(self, name: str, settings: AppSettings) -> PrivateContainer:
        args = self._args
        parts = AppParts(
            host=self._name,
            engine=self.engine,
            uses=[self.stores.use(use, name) for use in settings.uses] if self.stores else [],
            secrets={secret: args.secrets[secret] for secret in settings.secrets},
            login=login_of(settings.image, args.registries),
            serves=any(name in site.apps.values() for site in args.sites.values()),
            secret=args.secret,
            adopt=args.host.adopt,
        )
        return app(name, settings, parts, self._own)

    def _tunnels(self) -> list[SshTunnel]:
        args = self._args
        targets = self.stores.tunnels() if self.stores else {}
        return [
            SshTunnel(
                f"{self._name}-tunnel-{person}",
                SshTunnelArgs(
                    host=self._name,
                    person=person,
                    to={store: targets[store] for store in tunnel.to},
                    keys=tunnel.keys,
                    after=tuple(self.access.ready),
                    adopt=args.host.adopt,
                ),
                opts=self._own,
            )
            for person, tunnel in sorted(args.tunnels.items())
        ]

    def _proxy(self) -> ReverseProxy:
        args, settings = self._args, self._args.host.proxy
        served = {app for site in args.sites.values() for app in site.apps.values()}
        apps = {app: self._proxied(app) for app in sorted(served)}
        return ReverseProxy(
            f"{self._name}-nginx",
            ReverseProxyArgs(
                host=self._name,
                os=args.host.os,
                sites={
                    host_name: proxied(site, apps, args.secrets, settings.access_log)
                    for host_name, site in args.sites.items()
                },
                acme=authority(args.acme, args.secrets),
                tls=settings.tls,
                trusted_proxies=settings.trusted_proxies,
                real_ip_header=settings.real_ip_header,
                brotli=settings.brotli,
                # An authority comes by port 80.
                after=tuple(self.firewall.ready),
                adopt=args.host.adopt,
            ),
            opts=self._own,
        )

    def _jails(self, proxy: ReverseProxy) -> None:
        """Declare who is banned for what nginx logs."""
        args = self._args
        ProxyJails(
            f"{self._name}-nginx-jails",
            ProxyJailsArgs(
                host=self._name,
                os=args.host.os,
                error_logs=tuple(nginx.error_log(name) for name in args.sites),
                auth=any(site.basic_auth for site in args.sites.values()),
                ignore=args.host.fail2ban.ignore,
                proxies=args.host.proxy.trusted_proxies,
                adopt=args.host.adopt,
                # A jail wants its log files there, which nginx makes.
                after=(*self._fail2ban.ready, *proxy.ready),
            ),
            opts=self._own,
        )

    def _exposure(self) -> HostExposure:
        """Declare last what all of it comes to: who listens, and what is let through."""
        args, host, stores = self._args, self._args.host, self._args.stores
        opened = _rules(host.firewall.allow)
        served = {app for site in args.sites.values() for app in site.apps.values()}
        fixed = {name: app.host_port for name, app in args.apps.items() if app.host_port is not None}
        kept = {name: store for name, store in ((REDIS, stores.redis), (MONGO, stores.mongo)) if store}
        made = [*self.access.ready, *self.firewall.ready, *self.engine.ready]
        made += [ready for app in self.apps.values() for ready in app.ready]
        for part in (self.stores and self.stores.redis, self.stores and self.stores.mongo, self.proxy):
            made += part.ready if part else []
        return HostExposure(
            f"{self._name}-exposure",
            HostExposureArgs(
                host=self._name,
                ssh_port=host.port,
                web=bool(args.sites),
                allow=(*(WEB if args.sites else {}), *opened),
                opened=tuple(opened),
                public={port.replace(":", "-"): rule.sources for port, rule in host.firewall.public.items()},
                bind_address=host.docker_engine.bind_address,
                ports=fixed | {name: store.host_port for name, store in kept.items()},
                released=tuple(sorted(served - set(fixed))),
                networks=(*args.apps, *kept, *(f"{name}-shared" for name in kept)),
                accept=host.exposure.accept,
                after=tuple(made),
            ),
            opts=self._own,
        )

    def _proxied(self, name: str) -> ProxiedApp:
        container = self.apps[name]
        if container.port is None:
            raise ValueError(f"{name} is not published")
        return ProxiedApp(self.engine.bind_address, container.port, tuple(container.ready))


def _host_key(host: HostSettings) -> str:
    """Say how the host's key, and that of the host on the way to it, are known."""
    pinned = host.host_key is not None and (host.jump is None or host.jump.host_key is not None)
    return "pinned" if pinned else "trusted on first use"


def addresses(sites: Mapping[str, SiteSettings]) -> list[str]:
    """Return the address of each site, as people type it."""
    return [f"{'http' if site.plain else 'https'}://{name}" for name, site in sorted(sites.items())]


def _rules(allow: Mapping[str, FirewallRule]) -> dict[str, str]:
    """Give ufw's rules for what the settings open; one for each network that may."""
    return {
        f"{port} from {source}" if source else port: "from the settings"
        for port, rule in allow.items()
        for source in rule.sources or ("",)
    }
