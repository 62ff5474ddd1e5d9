"""A whole host: logins, firewall, bans, updates, the Docker engine with its apps and stores, and nginx."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

import pulumi
from pulumi import ResourceOptions

from portcullis.components.containers.apps import container_of
from portcullis.components.containers.component import PrivateContainer
from portcullis.components.docker.component import DockerEngine
from portcullis.components.exposure.component import HostExposure
from portcullis.components.fail2ban.component import Fail2ban, ProxyJails
from portcullis.components.firewall.component import Firewall
from portcullis.components.host import wiring
from portcullis.components.host.connections import PreviewLogin, connections
from portcullis.components.host.declared import add_declared, declared
from portcullis.components.host.images import resolved
from portcullis.components.host.stores import Stores, reachable
from portcullis.components.inventory.args import InventoryArgs
from portcullis.components.inventory.component import HostInventory
from portcullis.components.kernel.component import KernelSettings
from portcullis.components.nginx.component import ReverseProxy
from portcullis.components.nginx.proxied import ProxiedApp
from portcullis.components.previews import render as preview
from portcullis.components.previews.component import PreviewAccess
from portcullis.components.ssh.component import SshAccess
from portcullis.components.stores.store_use import StoreUse, login_file
from portcullis.components.tunnels.component import SshTunnel, tunnel_accounts
from portcullis.components.updates.component import SystemUpdates
from portcullis.components.upkeep.component import Upkeep
from portcullis.components.users.args import LoginPolicyArgs
from portcullis.components.users.component.login_policy import LoginPolicy
from portcullis.components.users.component.users import Users
from portcullis.config.faults import ArgumentsError, SettingsError
from portcullis.config.secret import Secret
from portcullis.host import Host, add_connections
from portcullis.registry import login_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.components.containers.args import AppArgs
    from portcullis.components.host.args import HardenedHostArgs, HostArgs
    from portcullis.components.nginx.args import SiteArgs
    from portcullis.components.tunnels.args import TunnelArgs


class HardenedHost(pulumi.ComponentResource):
    """A hardened Docker host with its stores, apps and sites.

    Before its first resource, the component asks registries for the digests of images that are named by tag.
    It also adds the host to the stack's ssh_config and to the list that `portcullis scan` checks.

    The first connection uses the login of the bare host. The component creates the users first. It then
    restricts the SSH server to these users, and proves each change by a fresh login. It closes the firewall
    next, and starts containers only after that.

    Example:
        ```python
        from portcullis.components import AppArgs, HardenedHost, HardenedHostArgs, RedisArgs, SiteArgs

        key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq"
        image = f"ghcr.io/acme/api@sha256:{'0' * 64}"  # yours, pinned
        HardenedHost(
            "web1",
            HardenedHostArgs(
                address="203.0.113.10",
                os="debian-13",
                host_key=key,
                stores={"redis": RedisArgs()},
                apps={"api": AppArgs(image=image, port=8080, uses=["redis"])},
                sites={"api.example.com": SiteArgs(app="api")},
            ),
        )
        ```

    Attributes:
        access: its SSH server.
        firewall: its firewall, with the rules for containers.
        engine: its Docker engine.
        stores: its Redis and MongoDB, or None.
        apps: the containers of its apps, by name.
        tunnels: SSH tunnels to its stores, one for each person.
        proxy: its nginx, or None if it serves no site.
        exposure: its listeners, publications and rules, as read from the host.
        inventory: the undeclared things on it, as read from the host.
    """

    access: SshAccess
    firewall: Firewall
    engine: DockerEngine
    stores: Stores | None
    apps: dict[str, PrivateContainer]
    tunnels: list[SshTunnel]
    proxy: ReverseProxy | None
    exposure: HostExposure
    inventory: HostInventory

    def __init__(
        self,
        name: str,
        args: HardenedHostArgs,
        *,
        preview_key: pulumi.Input[str] | None = None,
        secret_apps: bool = False,
        opts: ResourceOptions | None = None,
    ) -> None:
        """Declare the host.

        Args:
            name: its alias in ssh_config, such as "web1".
            args: the host, with its stores, apps and sites.
            preview_key: the public key that may read the host's state, if `args.preview` is set.
            secret_apps: the settings of apps contain a secret; values that containers get are marked secret.
            opts: options of the component.

        Raises:
            ArgumentsError: the name cannot be an alias, or a registry gives no digest for an image.
            OSError: the program cannot write ssh_config, or cannot read a certificate file.
        """
        host = Host(name, os=args.os, adopt=args.adopt)
        try:
            args = resolved(args, "HardenedHostArgs.")
        except SettingsError as error:
            raise ArgumentsError(error.faults) from None
        add_connections(connections({name: args}, PreviewLogin.from_environment(os.environ)))
        add_declared(declared(name, args), pulumi.get_stack())
        super().__init__("portcullis:index:HardenedHost", name, None, opts)
        self._name, self._args, self._host = name, args, host
        self._declare_logins(preview_key if args.preview else None)
        self._declare_protection()
        self._declare_maintenance()
        self.stores = self._declare_stores() if args.stores else None
        self.apps = {}
        for app in wiring.servers_first(args.apps):
            self.apps[app] = self._declare_app(app, args.apps[app], secret=secret_apps)
        self.tunnels = [
            self._declare_tunnel(person, tunnel) for person, tunnel in sorted(args.tunnels.items())
        ]
        self.proxy = self._declare_proxy() if args.sites else None
        self.exposure = self._declare_exposure()
        self.inventory = self._declare_inventory()
        self.register_outputs(
            {
                "apps": {app: container.address for app, container in self.apps.items()},
                "sites": addresses(args.sites),
                # For the policy pack: connections are not in the state, so it cannot see the key itself.
                "host_key": _host_key(args),
            }
        )

    def _declare_logins(self, preview_key: pulumi.Input[str] | None) -> None:
        """Declare who may log in: the users, the SSH server, and the preview key."""
        name, args, host = self._name, self._args, self._host
        is_shown = preview_key is not None
        users = Users(
            f"{name}-users",
            wiring.accounts(args),
            host=host,
            sudoers=(preview.SUDOERS,) if is_shown else (),
            opts=self._after(),
        )
        self.access = SshAccess(
            f"{name}-ssh",
            args.ssh,
            host=host,
            port=args.port,
            login=args.user,
            exempt=args.fail2ban.ignore,
            tunnels=tunnel_accounts(args.tunnels, reachable(args.stores, args.docker_engine.bind_address)),
            preview=is_shown,
            accepted=wiring.accepted(args, *wiring.SSHD),
            opts=self._after(users),
        )
        if args.preview and preview_key is not None:
            # sshd must have its block for this account before the account exists.
            opts = self._after(self.access)
            PreviewAccess(f"{name}-preview", args.preview, host=host, key=preview_key, opts=opts)

    def _declare_protection(self) -> None:
        """Declare the firewall, the kernel settings, the Docker engine that needs both, and fail2ban."""
        name, args, host = self._name, self._args, self._host
        self.firewall = Firewall(
            f"{name}-firewall",
            args.firewall,
            host=host,
            web=bool(args.sites),
            ssh_port=args.port,
            bind_address=args.docker_engine.bind_address,
            egress=wiring.egress(args),
            opts=self._after(self.access),
        )
        kernel = KernelSettings(f"{name}-kernel", args.kernel, host=host, opts=self._after(self.firewall))
        self.engine = DockerEngine(
            f"{name}-docker",
            args.docker_engine,
            host=host,
            reached=wiring.reached(args),
            # The docker provider uses the declared login. Before a container starts, the forward filter must
            # be active, and the kernel must keep the container's port from unprivileged users.
            opts=self._after(self.access, self.firewall, kernel),
        )
        self._fail2ban = Fail2ban(
            f"{name}-fail2ban",
            args.fail2ban,
            host=host,
            ssh_port=args.port,
            accepted=wiring.accepted(args, *wiring.FAIL2BAN),
            opts=self._after(self.access),
        )

    def _declare_maintenance(self) -> None:
        """Declare the maintenance of the host: login policy, updates, disk space."""
        name, args, host = self._name, self._args, self._host
        login = LoginPolicyArgs(ipsec=args.kernel.ipsec)
        LoginPolicy(f"{name}-login", login, host=host, opts=self._after())
        updates = SystemUpdates(
            f"{name}-updates",
            args.updates,
            host=host,
            docker_source=args.docker_engine.source,
            opts=self._after(),
        )
        Upkeep(f"{name}-upkeep", args.upkeep, host=host, opts=self._after(updates))

    def _declare_stores(self) -> Stores:
        return Stores(
            f"{self._name}-stores",
            self._args.stores,
            engine=self.engine,
            backups=self._args.backups,
            overcommit=wiring.overcommit(self._args),
            opts=self._after(),
        )

    def _declare_app(self, name: str, app: AppArgs, *, secret: bool) -> PrivateContainer:
        args = self._args
        uses = {use: self._used(use, name) for use in app.uses}
        stores = {use: access.files for use, access in uses.items() if isinstance(access, StoreUse)}
        logins = {file: content for files in stores.values() for file, content in files.items()}
        return PrivateContainer(
            name,
            container_of(name, app, serves=name in wiring.served(args), is_used=name in wiring.used(args)),
            engine=self.engine,
            # If the image is an output, its registry is not known yet.
            login=login_of(app.image, args.registries) if isinstance(app.image, str) else None,
            uses=[*uses.values()],
            secrets={each: Secret.of(args.secrets[each]).output for each in app.secrets},
            secret_env={
                variable: logins[file]
                if (file := login_file(given, stores))
                else Secret.of(args.secrets[given]).output
                for variable, given in app.secret_env.items()
            },
            secret=secret,
            opts=self._after(),
        )

    def _used(self, use: str, app: str) -> StoreUse | PrivateContainer:
        """Return the app or the access to a store that `uses` of an app names."""
        if use in self.apps:
            return self.apps[use]
        if self.stores is None:
            raise ValueError(f"HardenedHost: {use!r} is not an app or a store of {self._name}")
        return self.stores.use(use, app)

    def _declare_tunnel(self, person: str, tunnel: TunnelArgs) -> SshTunnel:
        return SshTunnel(
            f"{self._name}-tunnel-{person}",
            tunnel,
            host=self._host,
            person=person,
            targets=self.stores.tunnels() if self.stores else {},
            opts=self._after(self.access),
        )

    def _declare_proxy(self) -> ReverseProxy:
        """Declare nginx with its sites, and the jails that read its logs."""
        name, args, host = self._name, self._args, self._host
        proxy = ReverseProxy(
            f"{name}-nginx",
            args.proxy,
            host=host,
            sites=args.sites,
            apps={app: self._proxied(self.apps[app]) for app in wiring.served(args)},
            acme=args.acme,
            secrets=args.secrets,
            accepted=wiring.accepted(args, *wiring.NGINX),
            # The certificate authority connects to port 80, so the firewall must open it first.
            opts=self._after(self.firewall),
        )
        # A jail starts only if its log files exist, and nginx creates them.
        opts = self._after(self._fail2ban, proxy)
        ProxyJails(f"{name}-nginx-jails", wiring.proxy_jails(args), host=host, opts=opts)
        return proxy

    def _proxied(self, app: PrivateContainer) -> ProxiedApp:
        # The settings refuse sites whose app has no port.
        port = cast("pulumi.Input[int]", app.port)
        return ProxiedApp(self.engine.bind_address, port, depends_on=[app])

    def _declare_exposure(self) -> HostExposure:
        """Declare the check of the result: the listeners, and the traffic that gets through."""
        args = self._args
        return HostExposure(
            f"{self._name}-exposure",
            args.exposure,
            host=self._host,
            ssh_port=args.port,
            web=bool(args.sites),
            firewall=args.firewall,
            bind_address=args.docker_engine.bind_address,
            ports=wiring.host_ports(args),
            released=wiring.released(args),
            networks=wiring.docker_networks(args),
            opts=self._after(*self._observed_parts()),
        )

    def _declare_inventory(self) -> HostInventory:
        """Declare the inventory, which shows everything undeclared as drift."""
        args = self._args
        return HostInventory(
            f"{self._name}-inventory",
            InventoryArgs(accept=wiring.accepted_elsewhere(args)),
            host=self._host,
            networks=wiring.network_members(args),
            volumes=wiring.volumes(args),
            opts=self._after(*self._observed_parts()),
        )

    def _observed_parts(self) -> list[pulumi.Resource]:
        """Return the parts that must exist before `HostExposure` and `HostInventory` read the host."""
        parts = [self.access, self.firewall, self.engine, self.stores, *self.apps.values(), self.proxy]
        return [part for part in parts if part is not None]

    def _after(self, *parts: pulumi.Resource) -> ResourceOptions:
        """Return the Pulumi options of a part of this host that depends on other parts."""
        return ResourceOptions(parent=self, depends_on=parts)


def _host_key(host: HostArgs) -> str:
    """Return whether the keys of the host and of its jump host are pinned."""
    pinned = host.host_key is not None and (host.jump is None or host.jump.host_key is not None)
    return "pinned" if pinned else "trusted on first use"


def addresses(sites: Mapping[str, SiteArgs]) -> dict[str, str]:
    """Return the URL of each site by its name, so that a new site is one new line in the preview."""
    return {name: f"{'http' if site.plain else 'https'}://{name}" for name, site in sorted(sites.items())}
