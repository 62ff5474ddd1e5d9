"""A whole host: who gets in, what is open, what keeps it so; the Docker engine, its apps, and nginx."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

import pulumi
from pulumi import ResourceOptions

from portcullis.components.containers.apps import bridge, container_of
from portcullis.components.containers.component import PrivateContainer
from portcullis.components.docker.component import DockerEngine
from portcullis.components.exposure.component import HostExposure
from portcullis.components.fail2ban.args import ProxyJailsArgs
from portcullis.components.fail2ban.component import Fail2ban, ProxyJails
from portcullis.components.firewall.component import Firewall
from portcullis.components.host.connections import PreviewLogin, connections
from portcullis.components.host.declared import add_declared, declared
from portcullis.components.host.images import resolved
from portcullis.components.host.stores import Stores, reachable, sealed
from portcullis.components.kernel.component import KernelSettings
from portcullis.components.nginx import render as nginx
from portcullis.components.nginx.component import ReverseProxy
from portcullis.components.nginx.proxied import ProxiedApp
from portcullis.components.previews import render as preview
from portcullis.components.previews.component import PreviewAccess
from portcullis.components.ssh.component import SshAccess
from portcullis.components.tunnels.component import SshTunnel, tunnel_accounts
from portcullis.components.updates.component import SystemUpdates
from portcullis.components.upkeep.component import Upkeep
from portcullis.components.users.args import LoginPolicyArgs, UsersArgs
from portcullis.components.users.component.login_policy import LoginPolicy
from portcullis.components.users.component.users import Users
from portcullis.config.arguments import faults_in
from portcullis.config.faults import ArgumentsError, SettingsError
from portcullis.config.forms import Alias
from portcullis.config.secret import Secret
from portcullis.host import Host, add_connections
from portcullis.registry import login_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.components.containers.args import AppArgs
    from portcullis.components.host.args import HardenedHostArgs, HostArgs
    from portcullis.components.nginx.args import SiteArgs


class HardenedHost(pulumi.ComponentResource):
    """One host, by its alias.

    Before the first resource it asks registries for the digests of images that are named by tag, and adds the
    host to the stack's ssh_config and to what `portcullis scan` expects.

    First contact is whoever the bare host lets in. The users come first, then the SSH server is narrowed to
    them, each proven by a fresh login; then what is open is closed, and only then does a container start.

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
            args: the host and what it carries.
            preview_key: the public key that may look at the host, where its `preview` says so.
            secret_apps: the apps hold a secret somewhere; what a container is given of them is marked.
            opts: options of the component.

        Raises:
            ArgumentsError: the name cannot be an alias, or a registry does not give an image's digest.
            OSError: ssh_config cannot be written, or the file of a certificate not be read.
        """
        if wrong := faults_in(Alias, name, "HardenedHost"):
            raise ArgumentsError(wrong)
        try:
            args = resolved(args, "HardenedHostArgs.")
        except SettingsError as error:
            raise ArgumentsError(error.faults) from None
        add_connections(connections({name: args}, PreviewLogin.from_environment(os.environ)))
        add_declared(declared(name, args), pulumi.get_stack())
        super().__init__("portcullis:index:HardenedHost", name, None, opts)
        self._name, self._args, self._own = name, args, ResourceOptions(parent=self)
        self._host = Host(name, os=args.os, adopt=args.adopt)
        self._preview_key, self._secret_apps = preview_key, secret_apps
        self._secrets = {secret: Secret.of(value).output for secret, value in args.secrets.items()}

        self._harden()
        self._keep_up()
        self.stores = self._stores() if args.stores else None
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
                "host_key": _host_key(args),
            }
        )

    def _harden(self) -> None:
        """Declare what decides who and what gets in, and the engine that starts behind it."""
        name, host, own = self._name, self._args, self._own
        reached = reachable(self._args.stores, host.docker_engine.bind_address)
        users = Users(
            f"{name}-users",
            UsersArgs(
                users=host.users,
                login=host.user,
                # Whoever deploys speaks to Docker's socket, which is its group's.
                groups={host.user: ("docker",)} if host.user in host.users and host.user != "root" else {},
            ),
            host=self._host,
            sudoers=(preview.SUDOERS,) if self._is_shown else (),
            opts=own,
        )
        self.access = SshAccess(
            f"{name}-ssh",
            host.ssh,
            host=self._host,
            port=host.port,
            login=host.user,
            exempt=host.fail2ban.ignore,
            tunnels=tunnel_accounts(self._args.tunnels, reached),
            preview=self._is_shown,
            opts=self._after(users),
        )
        self._show()
        self.firewall = Firewall(
            f"{name}-firewall",
            host.firewall,
            host=self._host,
            web=bool(self._args.sites),
            bind_address=host.docker_engine.bind_address,
            egress=sealed(self._args.stores)
            | {
                bridge(name): settings.egress
                for name, settings in self._args.apps.items()
                if settings.egress is not None
            },
            opts=self._after(self.access),
        )
        self.engine = DockerEngine(
            f"{name}-docker",
            host.docker_engine,
            host=self._host,
            reached=(
                host.address,
                *([host.jump.address] if host.jump else []),
                *host.fail2ban.ignore,
            ),
            # The docker provider logs in as declared, and no container starts before the filter stands.
            opts=self._after(self.access, self.firewall),
        )
        self._fail2ban = Fail2ban(
            f"{name}-fail2ban",
            host.fail2ban,
            host=self._host,
            ssh_port=host.port,
            opts=self._after(self.access),
        )

    @property
    def _is_shown(self) -> bool:
        return self._args.preview is not None and self._preview_key is not None

    def _show(self) -> None:
        """Declare who may look at the host."""
        host, key = self._args, self._preview_key
        if host.preview is None or key is None:
            return
        PreviewAccess(
            f"{self._name}-preview",
            host.preview,
            host=self._host,
            key=key,
            # sshd's own block for the account stands before the account does.
            opts=self._after(self.access),
        )

    def _keep_up(self) -> None:
        """Declare what the host is and stays: kernel, logins, updates, room."""
        name, host, own = self._name, self._args, self._own
        KernelSettings(
            f"{name}-kernel",
            host.kernel,
            host=self._host,
            opts=self._after(self.firewall),
        )
        LoginPolicy(f"{name}-login", LoginPolicyArgs(), host=self._host, opts=own)
        updates = SystemUpdates(f"{name}-updates", host.updates, host=self._host, opts=own)
        Upkeep(
            f"{name}-upkeep",
            host.upkeep,
            host=self._host,
            opts=self._after(updates),
        )

    def _stores(self) -> Stores:
        args = self._args
        kernel = tuple(args.kernel.only)
        return Stores(
            f"{self._name}-stores",
            args.stores,
            engine=self.engine,
            backups=args.backups,
            overcommit=not kernel or "vm.overcommit_memory".startswith(kernel),
            opts=self._own,
        )

    def _app(self, name: str, own: AppArgs) -> PrivateContainer:
        args = self._args
        return PrivateContainer(
            name,
            container_of(name, own, serves=name in args.served),
            engine=self.engine,
            # An output is known only later, and with it whose registry it is.
            login=login_of(own.image, args.registries) if isinstance(own.image, str) else None,
            uses=[self.stores.use(use, name) for use in own.uses] if self.stores else (),
            secrets={secret: self._secrets[secret] for secret in own.secrets},
            secret=self._secret_apps,
            opts=self._own,
        )

    def _tunnels(self) -> list[SshTunnel]:
        args = self._args
        targets = self.stores.tunnels() if self.stores else {}
        return [
            SshTunnel(
                f"{self._name}-tunnel-{person}",
                tunnel,
                host=self._host,
                person=person,
                targets=targets,
                opts=self._after(self.access),
            )
            for person, tunnel in sorted(args.tunnels.items())
        ]

    def _proxy(self) -> ReverseProxy:
        args = self._args
        return ReverseProxy(
            f"{self._name}-nginx",
            args.proxy,
            host=self._host,
            sites=args.sites,
            apps={app: self._proxied(self.apps[app]) for app in args.served},
            acme=args.acme,
            secrets=args.secrets,
            # An authority comes by port 80.
            opts=self._after(self.firewall),
        )

    def _proxied(self, app: PrivateContainer) -> ProxiedApp:
        # The settings refuse an app of a site without a port.
        port = cast("pulumi.Input[int]", app.port)
        return ProxiedApp(self.engine.bind_address, port, depends_on=[app])

    def _after(self, *parts: pulumi.Resource) -> ResourceOptions:
        """Return the options of a part that waits for others."""
        return ResourceOptions(parent=self, depends_on=parts)

    def _jails(self, proxy: ReverseProxy) -> None:
        """Declare who is banned for what nginx logs."""
        args = self._args
        ProxyJails(
            f"{self._name}-nginx-jails",
            ProxyJailsArgs(
                error_logs=tuple(nginx.error_log(name) for name in args.sites),
                auth=any(site.basic_auth for site in args.sites.values()),
                ignore=args.fail2ban.ignore,
                proxies=args.proxy.trusted_proxies,
                max_ban_time=args.fail2ban.max_ban_time,
            ),
            host=self._host,
            # A jail wants its log files there, which nginx makes.
            opts=self._after(self._fail2ban, proxy),
        )

    def _exposure(self) -> HostExposure:
        """Declare last what all of it comes to: who listens, and what is let through."""
        args = self._args
        return HostExposure(
            f"{self._name}-exposure",
            args.exposure,
            host=self._host,
            ssh_port=args.port,
            web=bool(args.sites),
            firewall=args.firewall,
            bind_address=args.docker_engine.bind_address,
            ports=args.host_ports,
            released=args.released,
            networks=args.docker_networks,
            opts=self._after(*self._parts()),
        )

    def _parts(self) -> list[pulumi.Resource]:
        """Return the parts that let in, listen or publish."""
        found = [self.access, self.firewall, self.engine, *self.apps.values(), self.stores, self.proxy]
        return [part for part in found if part is not None]


def _host_key(host: HostArgs) -> str:
    """Say how the host's key, and that of the host on the way to it, are known."""
    pinned = host.host_key is not None and (host.jump is None or host.jump.host_key is not None)
    return "pinned" if pinned else "trusted on first use"


def addresses(sites: Mapping[str, SiteArgs]) -> list[str]:
    """Return the address of each site, as people type it."""
    return [f"{'http' if site.plain else 'https'}://{name}" for name, site in sorted(sites.items())]
