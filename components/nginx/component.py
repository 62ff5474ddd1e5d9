"""nginx in front of a host's apps: the base, then each site's certificate and file, then what is served."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pulumi
from pulumi import ResourceOptions

from portcullis.components.certificates.args import InternalCaArgs
from portcullis.components.certificates.component.certbot import AcmeArgs, Certbot, CertbotArgs
from portcullis.components.certificates.component.internal_ca import InternalCa
from portcullis.components.nginx import render as nginx
from portcullis.components.nginx.args import NO_SITES, DrainSeconds, RealIpHeader, TlsProfile
from portcullis.components.nginx.proxied import OwnKeyPair, ProxiedSite, content, passwords, passwords_path
from portcullis.components.nginx.resource.drain import Drain
from portcullis.components.nginx.resource.served_sites import ServedSites, SiteProbe
from portcullis.config.arguments import validate
from portcullis.config.forms import Alias, Network, Os, ServerName
from portcullis.config.kinds import ListOf
from portcullis.dialect import DIALECTS
from portcullis.resources import Directory, File, Packages, Service, Tree

if TYPE_CHECKING:
    from collections.abc import Mapping

_DAY = 24
# Mozilla's guideline wants a year at most. Due four months before: somebody runs `up` meanwhile.
_INTERNAL = InternalCaArgs(server_hours=365 * _DAY, renew_hours=120 * _DAY)


@dataclass(frozen=True, slots=True)
class ReverseProxyArgs:
    """What nginx needs to know.

    Attributes:
        host: alias of the host.
        sites: by host name.
        os: the host's operating system: what its nginx can do.
        acme: who issues certificates for sites that do not say otherwise.
        tls: Mozilla's profile for all sites, "intermediate" or "modern".
        trusted_proxies: networks of proxies in front of this host, whose word for who the client is counts.
        real_ip_header: the header that has it.
        brotli: compress with Brotli too.
        drain: how many seconds requests under way have, at most, when an app moves to another port.
        adopt: replace configuration files that are there and differ.
        after: what has to be done before.

    Raises:
        ValueError: naming every attribute that cannot be used.
    """

    host: str
    sites: Mapping[str, ProxiedSite]
    os: str = "debian-13"
    acme: AcmeArgs | None = None
    tls: str = "intermediate"
    trusted_proxies: tuple[str, ...] = ()
    real_ip_header: str = "X-Forwarded-For"
    brotli: bool = False
    drain: int = 60
    adopt: bool = False
    after: tuple[pulumi.Resource, ...] = field(default=())

    def __post_init__(self) -> None:
        """Check what would otherwise become a broken configuration file."""
        validate(
            self,
            {
                "host": Alias,
                "sites": ListOf[ServerName],
                "os": Os,
                "tls": TlsProfile,
                "trusted_proxies": ListOf[Network],
                "real_ip_header": RealIpHeader,
                "drain": DrainSeconds,
            },
        )
        if self.os in NO_SITES and self.sites:
            raise ValueError(f"ReverseProxyArgs.os: {self.os} can serve no site: {NO_SITES[self.os]}")
        for name, site in self.sites.items():
            if site.tls == "acme" and self.acme is None:
                raise ValueError(f'ReverseProxyArgs.sites.{name}: acme is missing, or tls="none"')


class ReverseProxy(pulumi.ComponentResource):
    """nginx with server blocks for each site; host names that are no site get no answer.

    Base, then certificate, then site, in one deployment: the base answers the authority on port 80 for names
    that are no site yet. Every file is tested with the whole configuration before it stays, nginx is reloaded
    and never restarted, and then each site is asked for over loopback.

    Attributes:
        ca_pem: the certificate of the stack's own authority, for clients of sites with `tls="internal"`; None
            without such a site.
        ready: what has to be there before something builds on nginx as it serves.
    """

    ca_pem: pulumi.Output[str] | None
    ready: list[pulumi.Resource]

    def __init__(self, name: str, args: ReverseProxyArgs, opts: ResourceOptions | None = None) -> None:
        """Declare nginx under `name`, such as "web1-nginx"."""
        super().__init__("portcullis:index:ReverseProxy", name, None, opts)
        self._name, self._args, self._dialect = name, args, DIALECTS[args.os]
        base, service = self._base()
        self._authorities(base, service)
        files: list[File] = []
        probes: dict[str, SiteProbe] = {}
        for host_name, site in sorted(args.sites.items()):
            pair, before = self._pair(host_name, site, base, service)
            files += [made for made in before if isinstance(made, File)]
            files.append(self._site(host_name, site, pair, [*base, service, *before]))
            probe = SiteProbe(tls=pair is not None, certificate=pair.chain if pair else "")
            # Each of its names: somebody's own file may have taken one of them only.
            probes |= dict.fromkeys(site.names(host_name), probe)
        served = ServedSites(
            f"{name}-served",
            host=args.host,
            sites=probes,
            unit="nginx.service",
            # The folder as well: a change beside our files that nginx has not taken up yet shows as stale.
            reads=[*files, "/etc/nginx"],
            opts=ResourceOptions(parent=self, depends_on=[service, *files]),
        )
        self.ready = [served]
        self._drain(served)
        self.register_outputs({"sites": sorted(args.sites), "service": service.active})

    def _base(self) -> tuple[list[pulumi.Resource], Service]:
        """Declare what all sites share, and nginx itself."""
        name, args = self._name, self._args
        packages = Packages(
            f"{name}-packages",
            host=args.host,
            names=["nginx", *(nginx.BROTLI_PACKAGES if args.brotli else ())],
            on_delete="purge",
            opts=ResourceOptions(parent=self, depends_on=args.after),
        )
        # In this order: two default servers for one port do not pass the test, and on destroy the packaged
        # one must not come back while ours is there.
        packaged = self._file(
            f"{name}-packaged-site",
            nginx.PACKAGED_SITE_PATH,
            nginx.packaged_site(f"{name}-packaged-site"),
            packages,
        )
        tls = self._file(
            f"{name}-tls",
            nginx.TLS_PATH,
            nginx.tls_snippet(f"{name}-tls", args.tls, self._dialect),
            packages,
        )
        compression = self._file(
            f"{name}-compression",
            nginx.COMPRESSION_PATH,
            nginx.compression(f"{name}-compression", brotli=args.brotli),
            packages,
        )
        limits = self._file(f"{name}-limits", nginx.MAIN_PATH, nginx.limits(f"{name}-limits"), packages)
        shared = nginx.Shared(args.trusted_proxies, args.real_ip_header)
        default = self._file(
            f"{name}-default",
            nginx.DEFAULT_PATH,
            nginx.default_server(f"{name}-default", self._dialect, shared),
            packaged,
            tls,
        )
        webroot = self._directory(f"{name}-acme-folder", nginx.ACME_ROOT, "0755", packages)
        private = self._directory(f"{name}-private-folder", nginx.PRIVATE, "0755", packages)
        ours = [packaged, tls, compression, limits, default]
        base: list[pulumi.Resource] = [packages, *ours, webroot, private]
        service = Service(
            f"{name}-service",
            host=args.host,
            unit="nginx.service",
            reads=[*ours, "/etc/nginx"],
            on_change="reload",
            adopt=args.adopt,
            # Before the sites: an authority asks on port 80 before there is one.
            opts=ResourceOptions(parent=self, depends_on=base),
        )
        return base, service

    def _authorities(self, base: list[pulumi.Resource], service: Service) -> None:
        args, kinds = (
            self._args,
            {site.tls for site in self._args.sites.values() if isinstance(site.tls, str)},
        )
        self._certbot = None
        if args.acme and "acme" in kinds:
            self._certbot = Certbot(
                f"{self._name}-certbot",
                CertbotArgs(args.host, args.acme, adopt=args.adopt),
                opts=ResourceOptions(parent=self, depends_on=[*base, service]),
            )
        self._ca = None
        if "internal" in kinds:
            self._ca = InternalCa(f"{self._name}-ca", _INTERNAL, opts=ResourceOptions(parent=self))
        self.ca_pem = self._ca.ca_pem if self._ca else None

    def _pair(
        self, host_name: str, site: ProxiedSite, base: list[pulumi.Resource], service: Service
    ) -> tuple[nginx.KeyPair | None, list[pulumi.Resource]]:
        """Declare a site's certificate; return where it is, and what has to be there before the site."""
        part, names = f"{self._name}-{host_name}", site.names(host_name)
        if site.tls == "none":
            return None, []
        if self._certbot is not None and site.tls == "acme":
            made = self._certbot.certificate(
                host_name,
                names,
                challenge=site.challenge,
                after=[*base, service],
                name=f"{part}-certificate",
            )
            return nginx.KeyPair(made.fullchain, made.privkey), [made]
        if isinstance(site.tls, OwnKeyPair):
            chain, key = site.tls.chain, site.tls.key
        elif self._ca is not None:
            chain, key = self._ca.server(part, names)
        # One file: the two are changed at once, and nginx never sees a key that is not the certificate's.
        pem = pulumi.Output.all(key, chain).apply(
            lambda found: "".join(text.strip() + "\n" for text in found)
        )
        path = f"{nginx.PRIVATE}/{host_name}.pem"
        # After the service, like everything of a site: it would never see the last change of what it reads.
        after = [*base, service]
        file = self._file(
            f"{part}-certificate", path, pulumi.Output.secret(pem), *after, mode="0600", test=True
        )
        return nginx.KeyPair(path, path), [file]

    def _site(
        self, host_name: str, site: ProxiedSite, pair: nginx.KeyPair | None, before: list[pulumi.Resource]
    ) -> File:
        args, part = self._args, f"{self._name}-{host_name}"
        after = [*before, *(ready for app in site.apps.values() for ready in app.ready)]
        if site.root is not None:
            after.append(
                Tree(
                    f"{part}-files",
                    host=args.host,
                    path=f"{nginx.FILES}/{host_name}",
                    source=site.root,
                    adopt=args.adopt,
                    # The package brings the folder above.
                    opts=ResourceOptions(parent=self, depends_on=before[:1]),
                )
            )
        if site.passwords:
            after.append(
                self._file(
                    f"{part}-passwords",
                    passwords_path(host_name),
                    passwords(host_name, site.passwords),
                    *before,
                    group="www-data",
                    mode="0640",
                    test=False,
                )
            )
        text = content(part, host_name, site, pair, self._dialect)
        return self._file(part, nginx.site_path(host_name), text, *after)

    def _drain(self, served: ServedSites) -> None:
        moving = {
            f"{host_name}{prefix}": app.port.apply(lambda port: str(int(port)))
            for host_name, site in sorted(self._args.sites.items())
            for prefix, app in sorted(site.apps.items())
            if isinstance(app.port, pulumi.Output)
        }
        if not moving:
            return
        # The engine takes former containers away when everything else is done: after this.
        drain = Drain(
            f"{self._name}-drain",
            host=self._args.host,
            upstreams=moving,
            seconds=self._args.drain,
            opts=ResourceOptions(parent=self, depends_on=[served]),
        )
        self.ready.append(drain)

    def _file(
        self,
        part: str,
        path: str,
        text: pulumi.Input[str],
        *after: pulumi.Resource,
        group: str = "root",
        mode: str = "0644",
        test: bool = True,
    ) -> File:
        return File(
            part,
            host=self._args.host,
            path=path,
            content=text,
            group=group,
            mode=mode,
            test=nginx.TEST if test else None,
            adopt=self._args.adopt,
            opts=ResourceOptions(parent=self, depends_on=after),
        )

    def _directory(self, part: str, path: str, mode: str, after: pulumi.Resource) -> Directory:
        return Directory(
            part,
            host=self._args.host,
            path=path,
            mode=mode,
            adopt=self._args.adopt,
            opts=ResourceOptions(parent=self, depends_on=[after]),
        )
