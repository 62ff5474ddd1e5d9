"""nginx in front of the apps of a host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi
from pulumi import ResourceOptions

from components.arguments import validate
from portcullis.host import File, Packages, Service
from portcullis.render import nginx
from portcullis.settings import forms
from portcullis.settings.kinds import ListOf

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class ProxiedSite:
    """One host name: where its app answers, and the resource to wait for before sending anybody there."""

    upstream: nginx.Upstream
    app: pulumi.Resource | None = None


@dataclass(frozen=True, slots=True)
class ReverseProxyArgs:
    """What nginx needs to know.

    Attributes:
        host: alias of the host.
        sites: by host name.
        adopt: replace configuration files that are there and differ.

    Raises:
        ValueError: naming every attribute that cannot be used.
    """

    host: str
    sites: Mapping[str, ProxiedSite]
    adopt: bool = False

    def __post_init__(self) -> None:
        """Check what would otherwise become a broken configuration file."""
        validate(self, {"host": forms.ALIAS, "sites": ListOf(forms.SERVER_NAME)})


class ReverseProxy(pulumi.ComponentResource):
    """nginx with one server block for each site; host names that are no site get no answer.

    Every file is tested with the whole configuration before nginx takes it up.
    """

    def __init__(self, name: str, args: ReverseProxyArgs, opts: ResourceOptions | None = None) -> None:
        """Declare nginx under `name`, such as "web1-nginx"."""
        super().__init__("portcullis:index:ReverseProxy", name, None, opts)

        def config(part: str, path: str, content: str, *after: pulumi.Resource) -> File:
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
            content = nginx.http_site(part, host_name, site.upstream)
            after = [default, site.app] if site.app else [default]
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
        self.register_outputs({"sites": sorted(args.sites), "service": service.active})
