"""A whole host: the Docker engine, its apps, and nginx in front of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pulumi
from pulumi import ResourceOptions

from components.docker_engine import DockerEngine, DockerEngineArgs
from components.private_container import PrivateContainer, PrivateContainerArgs
from components.reverse_proxy import ProxiedSite, ReverseProxy, ReverseProxyArgs
from portcullis.render.health import http_check
from portcullis.render.nginx import Upstream

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.settings import AppSettings, HostSettings, SiteSettings


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

    Attributes:
        engine: its Docker engine.
        apps: its containers, by name.
        proxy: its nginx, or None where it serves no site.
    """

    engine: DockerEngine
    apps: dict[str, PrivateContainer]
    proxy: ReverseProxy | None

    def __init__(self, name: str, args: HardenedHostArgs, opts: ResourceOptions | None = None) -> None:
        """Declare the host; `name` is its alias in ssh_config."""
        super().__init__("portcullis:index:HardenedHost", name, None, opts)
        own = ResourceOptions(parent=self)
        host = args.host

        self.engine = DockerEngine(
            f"{name}-docker",
            DockerEngineArgs(host=name, os=host.os, bip=host.docker_engine.bip, adopt=host.adopt),
            opts=own,
        )
        self.apps = {
            app: PrivateContainer(app, self._container(settings, secret=args.secret), opts=own)
            for app, settings in args.apps.items()
        }
        self.proxy = None
        if args.sites:
            sites = {
                host_name: self._proxied(site, args.apps[site.app]) for host_name, site in args.sites.items()
            }
            self.proxy = ReverseProxy(
                f"{name}-nginx", ReverseProxyArgs(host=name, sites=sites, adopt=host.adopt), opts=own
            )
        self.register_outputs(
            {
                "apps": {app: container.address for app, container in self.apps.items()},
                "sites": [f"http://{host_name}" for host_name in sorted(args.sites)],
            }
        )

    def _container(self, app: AppSettings, *, secret: bool) -> PrivateContainerArgs:
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
            secret=secret,
        )

    def _proxied(self, site: SiteSettings, app: AppSettings) -> ProxiedSite:
        if app.host_port is None:
            raise ValueError(f"{site.app} is not published")
        return ProxiedSite(Upstream(self.engine.bind_address, app.host_port), self.apps[site.app])
