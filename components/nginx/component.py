"""Declares nginx in front of a host's apps.

The component declares first shared files, then certificates and sites, then a check of all sites.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi import ResourceOptions

from portcullis.components.certificates.args import AcmeArgs, InternalCaArgs
from portcullis.components.certificates.component.certbot import Certbot
from portcullis.components.certificates.component.internal_ca import InternalCa
from portcullis.components.certificates.render import ACME_ROOT
from portcullis.components.nginx import render as nginx
from portcullis.components.nginx import site_checks
from portcullis.components.nginx.args import SiteArgs
from portcullis.components.nginx.proxied import passwords, with_upstreams
from portcullis.components.nginx.resource.drain import Drain
from portcullis.components.nginx.resource.served_sites import ServedSites, SiteProbe
from portcullis.config.arguments import faults_in, refuse_faults
from portcullis.config.faults import ArgumentsError, SettingPath, Source, closest, in_python
from portcullis.config.forms import ServerName
from portcullis.config.secret import Secret
from portcullis.config.section import Written
from portcullis.config.value_types import MapOf
from portcullis.dialect import DIALECTS
from portcullis.resources import Directory, File, Packages, Service, Tree

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.components.certificates.args import CertificateArgs
    from portcullis.components.certificates.resource import Certificate
    from portcullis.components.nginx.args import ReverseProxyArgs
    from portcullis.components.nginx.proxied import ProxiedApp
    from portcullis.config.forms import SecretInput
    from portcullis.host import Host

_DAY = 24
# Mozilla's guideline allows a year at most. A certificate is due for renewal in its last four months, so that
# some `up` runs in that time.
_INTERNAL = InternalCaArgs(server_hours=365 * _DAY, renew_hours=120 * _DAY)


@dataclass(frozen=True, slots=True)
class _Declared:
    """The sites of a `ReverseProxy`, in the form that the checks of `site_checks` need."""

    root: Written
    host: Host
    whole = "proxy"

    @property
    def sites(self) -> Mapping[str, Written]:
        """The sites by host name."""
        return self.root.entries("sites")

    @property
    def secrets(self) -> Mapping[str, Any]:
        """The values of the secrets, by name."""
        return {name: value for name, value, _ in self.root.items("secrets")}

    def how_to_add(self, secret: str) -> str:
        """Return what to do to declare a secret."""
        return f"add {secret} to {self.root.at.field('secrets')}"

    def server_of(self, site: Written) -> site_checks.Server:
        """Return the host that serves a site."""
        return site_checks.Server(self.host.alias, self.host.os, self.root.section("args"))


class ReverseProxy(pulumi.ComponentResource):
    """nginx with server blocks for each site. Host names that are not a site get no answer.

    One deploy makes the shared files, then the certificates, then the sites. The shared files come first:
    they answer the certificate authority on port 80 for names that have no site yet. nginx tests its whole
    configuration with each new file before the file stays. nginx is reloaded and never restarted. At the end,
    each site is requested over loopback.

    The component opens no port. Where a firewall protects the host, let the component depend on the resource
    that opens ports 80 and 443.

    Example:
        ```python
        # The app runs already, and Portcullis manages nothing else on this host.
        from portcullis.components import ProxiedApp, ReverseProxy, ReverseProxyArgs, SiteArgs
        from portcullis.host import Connection, Host, write_ssh_config

        key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq"
        write_ssh_config({"web1": Connection(address="203.0.113.10", host_key=key)})
        ReverseProxy(
            "web1-nginx",
            ReverseProxyArgs(),
            host=Host("web1"),
            sites={"api.example.com": SiteArgs(app="api")},
            apps={"api": ProxiedApp("127.0.0.1", 8080)},
        )
        ```

    Attributes:
        ca_pem: the certificate of the stack's own authority, for clients of sites with `tls="internal"`; None
            without such a site.
        served: the resource that checks that nginx serves every site as declared.
    """

    ca_pem: pulumi.Output[str] | None
    served: ServedSites

    def __init__(
        self,
        name: str,
        args: ReverseProxyArgs,
        *,
        host: Host,
        sites: Mapping[str, SiteArgs],
        apps: Mapping[str, ProxiedApp] | None = None,
        acme: AcmeArgs | None = None,
        secrets: Mapping[str, SecretInput] | None = None,
        accepted: Mapping[str, str] | None = None,
        opts: ResourceOptions | None = None,
    ) -> None:
        """Declare nginx.

        Args:
            name: the component's name, such as "web1-nginx".
            args: the settings that all sites share.
            host: the host.
            sites: the sites, by host name.
            apps: where the apps of the sites answer, by the app's name.
            acme: who issues certificates for sites with `tls="acme"`. Without it, Let's Encrypt does, for an
                account without an e-mail address.
            secrets: the values of the secrets that sites and `acme` name: passwords, keys and credentials.
            accepted: undeclared files that may be in nginx's configuration: path to the reason.
            opts: options of the component. Let it depend on the resource that opens ports 80 and 443.

        Raises:
            ArgumentsError: with every fault in these arguments and between them.
            OSError: a certificate file cannot be read.
        """
        apps, secrets = apps or {}, secrets or {}
        given = {"args": args, "sites": sites, "apps": apps, "acme": acme, "secrets": secrets}
        _check(Written(given, SettingPath(Source("ReverseProxy", in_python))), host)
        super().__init__("portcullis:index:ReverseProxy", name, None, opts)
        self._name, self._args, self._host = name, args, host
        self._sites, self._apps, self._secrets = sites, apps, secrets
        self._dialect = DIALECTS[host.os]
        self._base, self._service = self._shared()
        self._authorities(acme or AcmeArgs())
        files: list[File] = []
        probes: dict[str, SiteProbe] = {}
        for host_name, site in sorted(sites.items()):
            pair, certificate = self._pair(host_name, site)
            files += [certificate] if isinstance(certificate, File) else []
            files.append(self._site(host_name, site, pair, [certificate] if certificate else []))
            probe = SiteProbe(tls=pair is not None, certificate=pair.chain if pair else "")
            # Check each name of the site: an undeclared file may serve only one of them.
            probes |= dict.fromkeys((host_name, *site.other_names), probe)
        self.served = ServedSites(
            f"{name}-served",
            host=host,
            sites=probes,
            unit="nginx.service",
            # Watch the whole folder: a change to a file that is not ours makes nginx stale, too.
            reads=[*files, "/etc/nginx"],
            accepted=accepted,
            opts=ResourceOptions(parent=self, depends_on=[self._service, *files]),
        )
        self._drain()
        self.register_outputs({"sites": sorted(sites), "service": self._service.active})

    def _shared(self) -> tuple[list[pulumi.Resource], Service]:
        """Declare the files that all sites share, and nginx itself."""
        name, args = self._name, self._args
        packages = Packages(
            f"{name}-packages",
            host=self._host,
            names=["nginx", *(nginx.BROTLI_PACKAGES if args.brotli else ())],
            on_delete="purge",
            opts=ResourceOptions(parent=self),
        )
        # The order matters. nginx refuses two default servers for one port. On destroy, the packaged site
        # must not come back while our default server is still there.
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
        default = self._file(
            f"{name}-default",
            nginx.DEFAULT_PATH,
            nginx.default_server(f"{name}-default", self._dialect, args),
            packaged,
            tls,
        )
        webroot = self._directory(f"{name}-acme-folder", ACME_ROOT, packages)
        private = self._directory(f"{name}-private-folder", nginx.PRIVATE, packages)
        ours = [packaged, tls, compression, limits, default]
        base: list[pulumi.Resource] = [packages, *ours, webroot, private]
        service = Service(
            f"{name}-service",
            host=self._host,
            unit="nginx.service",
            reads=[*ours, "/etc/nginx"],
            on_change="reload",
            # nginx must run before the sites exist: the certificate authority asks on port 80 first.
            opts=ResourceOptions(parent=self, depends_on=base),
        )
        return base, service

    def _authorities(self, acme: AcmeArgs) -> None:
        sites, self._certbot, self._ca = self._sites.values(), None, None
        if any(site.by_acme for site in sites):
            self._certbot = Certbot(
                f"{self._name}-certbot",
                acme,
                host=self._host,
                secrets=self._secrets,
                opts=ResourceOptions(parent=self, depends_on=[*self._base, self._service]),
            )
        if any(site.tls == "internal" and site.certificate is None for site in sites):
            self._ca = InternalCa(f"{self._name}-ca", _INTERNAL, opts=ResourceOptions(parent=self))
        self.ca_pem = self._ca.ca_pem if self._ca else None

    def _pair(self, host_name: str, site: SiteArgs) -> tuple[nginx.KeyPair | None, Certificate | File | None]:
        """Declare a site's certificate. Return its paths on the host, and the resource that puts it there."""
        part, names = f"{self._name}-{host_name}", (host_name, *site.other_names)
        if self._certbot is not None and site.by_acme:
            made = self._certbot.certificate(
                host_name, names, challenge=site.challenge, name=f"{part}-certificate"
            )
            return nginx.KeyPair(made.fullchain, made.privkey), made
        if site.certificate is not None:
            chain, key = self._own(site.certificate)
        elif self._ca is not None and site.tls == "internal":
            chain, key = self._ca.server(part, names)
        else:
            return None, None
        # Key and certificate stand in one file. So both change at once, and nginx never sees two that do not
        # fit.
        pem = pulumi.Output.all(key, chain).apply(
            lambda found: "".join(text.strip() + "\n" for text in found)
        )
        path = f"{nginx.PRIVATE}/{host_name}.pem"
        # After the service, like all files of a site: a file that changes after the service was checked would
        # leave the service stale for ever.
        after = [*self._base, self._service]
        file = self._file(f"{part}-certificate", path, pulumi.Output.secret(pem), *after, mode="0600")
        return nginx.KeyPair(path, path), file

    def _own(self, given: CertificateArgs) -> tuple[pulumi.Input[str], pulumi.Input[str]]:
        """Read a certificate that the user brings, and warn if the certificate ends soon."""
        from portcullis.components.certificates import own_certificates  # noqa: PLC0415 - slow, seldom needed

        if warning := own_certificates.warning(given.chain):
            pulumi.log.warn(warning)
        return own_certificates.read(given.chain), Secret.of(self._secrets[given.key]).output

    def _site(
        self, host_name: str, site: SiteArgs, pair: nginx.KeyPair | None, certificate: list[pulumi.Resource]
    ) -> File:
        part, apps = f"{self._name}-{host_name}", {way: self._apps[app] for way, app in site.apps.items()}
        before = [*self._base, self._service, *certificate]
        after = [*before, *(made for app in apps.values() for made in app.depends_on)]
        if site.root is not None:
            after.append(
                Tree(
                    f"{part}-files",
                    host=self._host,
                    path=nginx.root(host_name),
                    source=site.root,
                    # The package creates the parent folder.
                    opts=ResourceOptions(parent=self, depends_on=self._base[:1]),
                )
            )
        if site.basic_auth:
            users = {user: self._secrets[secret] for user, secret in site.basic_auth.items()}
            after.append(
                self._file(
                    f"{part}-passwords",
                    nginx.passwords_path(host_name),
                    passwords(host_name, users),
                    *before,
                    group="www-data",
                    mode="0640",
                    test=False,
                )
            )

        def render(upstreams: Mapping[str, nginx.Upstream]) -> str:
            whole = nginx.Site(
                host_name,
                site,
                upstreams,
                root=None if site.root is None else nginx.root(host_name),
                passwords=nginx.passwords_path(host_name) if site.basic_auth else "",
                certificate=pair,
                access_log=self._args.access_log,
            )
            return nginx.site(part, whole, self._dialect)

        return self._file(part, nginx.site_path(host_name), with_upstreams(apps, render), *after)

    def _drain(self) -> None:
        moving = {
            f"{host_name}{prefix}": port.apply(lambda port: str(int(port)))
            for host_name, site in sorted(self._sites.items())
            for prefix, app in sorted(site.apps.items())
            if isinstance(port := self._apps[app].port, pulumi.Output)
        }
        if not moving:
            return
        # The engine removes former containers when everything else is done, so after this wait.
        Drain(
            f"{self._name}-drain",
            host=self._host,
            upstreams=moving,
            seconds=self._args.drain,
            opts=ResourceOptions(parent=self, depends_on=[self.served]),
        )

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
            host=self._host,
            path=path,
            content=text,
            group=group,
            mode=mode,
            test=nginx.TEST if test else None,
            opts=ResourceOptions(parent=self, depends_on=after),
        )

    def _directory(self, part: str, path: str, after: pulumi.Resource) -> Directory:
        return Directory(
            part,
            host=self._host,
            path=path,
            mode="0755",
            opts=ResourceOptions(parent=self, depends_on=[after]),
        )


def _check(written: Written, host: Host) -> None:
    """Refuse arguments that nginx would refuse, or would treat differently from what they declare."""
    faults = faults_in(MapOf[ServerName, SiteArgs], written.get("sites"), str(written.at.field("sites")))
    if faults:
        raise ArgumentsError(faults)
    declared = _Declared(written, host)
    apps = written.get("apps", {})
    for site in declared.sites.values():
        for app, place in site_checks.apps_of(site):
            if app not in apps:
                place.refuse(app, "is not an app of this proxy", closest(app, apps))
    site_checks.sites(declared)
    refuse_faults(written.at)
