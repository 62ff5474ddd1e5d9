"""nginx in front of the apps of a host."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pulumi
from pulumi import ResourceOptions

from components.arguments import validate
from portcullis.host import Drain, File, Packages, Service, Tree
from portcullis.render import nginx
from portcullis.settings import forms
from portcullis.settings.kinds import ListOf

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class ProxiedApp:
    """Where an app answers, and what to wait for before sending anybody there.

    Attributes:
        address: IP address that its container is published on.
        port: port there; an output where the host chooses it.
        ready: what has to be there first.
    """

    address: str
    port: pulumi.Input[int]
    ready: tuple[pulumi.Resource, ...] = ()


@dataclass(frozen=True, slots=True)
class ProxiedSite:
    """What one host name serves.

    Attributes:
        apps: apps by the beginning of the path that they answer: "/" for all of it, "/api/" for a part.
        root: local folder of files, relative to the project, that answer where no app does; or None.
        spa: the files are a single-page application: a path that is no file gives index.html.
    """

    apps: Mapping[str, ProxiedApp] = field(default_factory=dict)
    root: str | None = None
    spa: bool = False


@dataclass(frozen=True, slots=True)
class ReverseProxyArgs:
    """What nginx needs to know.

    Attributes:
        host: alias of the host.
        sites: by host name.
        drain: how many seconds requests under way have, at most, when an app moves to another port.
        adopt: replace configuration files that are there and differ.

    Raises:
        ValueError: naming every attribute that cannot be used.
    """

    host: str
    sites: Mapping[str, ProxiedSite]
    drain: int = 60
    adopt: bool = False

    def __post_init__(self) -> None:
        """Check what would otherwise become a broken configuration file."""
        validate(self, {"host": forms.ALIAS, "sites": ListOf(forms.SERVER_NAME), "drain": forms.DRAIN})
        for name, site in self.sites.items():
            if ("/" in site.apps) == (site.root is not None):
                raise ValueError(
                    f"ReverseProxyArgs.sites.{name}: needs an app for / or a root, one of the two"
                )


class ReverseProxy(pulumi.ComponentResource):
    """nginx with one server block for each site; host names that are no site get no answer.

    Every file is tested with the whole configuration before nginx takes it up.
    """

    def __init__(self, name: str, args: ReverseProxyArgs, opts: ResourceOptions | None = None) -> None:
        """Declare nginx under `name`, such as "web1-nginx"."""
        super().__init__("portcullis:index:ReverseProxy", name, None, opts)

        def config(part: str, path: str, content: pulumi.Input[str], *after: pulumi.Resource) -> File:
            return File(
                part,
                host=args.host,
                path=path,
                content=content,
                test=nginx.TEST,
                adopt=args.adopt,
                opts=ResourceOptions(parent=self, depends_on=after),
            )

        packages = Packages(
            f"{name}-packages",
            host=args.host,
            names=["nginx"],
            on_delete="purge",
            opts=ResourceOptions(parent=self),
        )
        # In this order: two default servers for one port do not pass the test, and on destroy the packaged
        # one must not come back while ours is there.
        packaged = config(
            f"{name}-packaged-site",
            nginx.PACKAGED_SITE_PATH,
            nginx.packaged_site(f"{name}-packaged-site"),
            packages,
        )
        default = config(
            f"{name}-default", nginx.DEFAULT_PATH, nginx.default_server(f"{name}-default"), packaged
        )
        sites = []
        for host_name, site in sorted(args.sites.items()):
            part = f"{name}-{host_name}"
            after: list[pulumi.Resource] = [default, *(r for app in site.apps.values() for r in app.ready)]
            root = None
            if site.root is not None:
                root = Tree(
                    f"{part}-files",
                    host=args.host,
                    path=f"{nginx.FILES}/{host_name}",
                    source=site.root,
                    adopt=args.adopt,
                    # The package brings the folder above.
                    opts=ResourceOptions(parent=self, depends_on=[packages]),
                )
                after.append(root)
            content = _content(part, host_name, site)
            sites.append(config(part, nginx.site_path(host_name), content, *after))
        service = Service(
            f"{name}-service",
            host=args.host,
            unit="nginx.service",
            # The folder as well: a change beside our files that nginx has not taken up yet shows as stale.
            reads=[packaged, default, *sites, "/etc/nginx"],
            on_change="reload",
            adopt=args.adopt,
            opts=ResourceOptions(parent=self, depends_on=[packages]),
        )
        moving = {
            f"{host_name}{prefix}": app.port.apply(lambda port: str(int(port)))
            for host_name, site in sorted(args.sites.items())
            for prefix, app in sorted(site.apps.items())
            if isinstance(app.port, pulumi.Output)
        }
        if moving:
            # The engine takes former containers away when everything else is done: after this.
            Drain(
                f"{name}-drain",
                host=args.host,
                upstreams=moving,
                seconds=args.drain,
                opts=ResourceOptions(parent=self, depends_on=[service]),
            )
        self.register_outputs({"sites": sorted(args.sites), "service": service.active})


def _content(resource: str, host_name: str, site: ProxiedSite) -> pulumi.Input[str]:
    """Render a site. Its text is known in a preview wherever the ports are."""

    def render(ports: Mapping[str, int]) -> str:
        apps = {
            prefix: nginx.Upstream(site.apps[prefix].address, int(port)) for prefix, port in ports.items()
        }
        root = None if site.root is None else f"{nginx.FILES}/{host_name}"
        return nginx.http_site(resource, nginx.HttpSite(host_name, apps, root, spa=site.spa))

    ports = {prefix: app.port for prefix, app in site.apps.items()}
    chosen = {prefix: port for prefix, port in ports.items() if isinstance(port, int)}
    return render(chosen) if len(chosen) == len(ports) else pulumi.Output.all(**ports).apply(render)
