"""certbot: a certificate for each site, renewed by the system's own timer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pulumi
from pulumi import ResourceOptions

from portcullis.components.certificates import render as certbot
from portcullis.components.certificates.args import Email, Profile, Provider, Server
from portcullis.components.certificates.resource import Certificate
from portcullis.components.nginx import render as nginx
from portcullis.config.arguments import validate
from portcullis.config.forms import Alias
from portcullis.resources import Directory, File, Packages, Service

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class DnsArgs:
    """How names are proven by DNS records.

    Attributes:
        provider: who serves the zone: certbot's plugin, such as "cloudflare".
        credentials: the plugin's credentials file, whole; a secret.
        propagation: seconds until the record is seen.
    """

    provider: str
    credentials: pulumi.Input[str] = field(repr=False)
    propagation: int = 60


@dataclass(frozen=True, slots=True)
class AcmeArgs:
    """Who issues certificates.

    Attributes:
        email: whose account it is; None registers one without. Using it accepts the authority's terms of
            service.
        server: the https:// address of the authority's directory.
        ca_bundle: the root, in PEM, that the authority's own server is trusted by; "" where hosts know it.
        profile: the authority's profile; "" is its default.
        precheck: ask every name for a token on port 80 before anything is asked of the authority.
        dns: proves names by records, for sites that say so.

    Raises:
        ValueError: naming every attribute that cannot be used.
    """

    email: str | None = None
    server: str = certbot.PRODUCTION
    ca_bundle: str = ""
    profile: str = ""
    precheck: bool = True
    dns: DnsArgs | None = None

    def __post_init__(self) -> None:
        """Check what certbot would only say on the host."""
        validate(self, {"email": Email, "server": Server})
        if self.profile:
            validate(self, {"profile": Profile})
        if self.dns:
            validate(self.dns, {"provider": Provider})


@dataclass(frozen=True, slots=True)
class CertbotArgs:
    """What certbot needs to know.

    Attributes:
        host: alias of the host.
        acme: who issues.
        adopt: take over files and lineages that are there and differ.

    Raises:
        ValueError: naming every attribute that cannot be used.
    """

    host: str
    acme: AcmeArgs
    adopt: bool = False

    def __post_init__(self) -> None:
        """Check the alias."""
        validate(self, {"host": Alias})


class Certbot(pulumi.ComponentResource):
    """certbot with its timer, and a hook that has nginx take up what was renewed.

    `certificate` declares one certificate; an authority asks for it on port 80, so nginx has to run by then.

    Attributes:
        ready: what has to be there before a certificate.
    """

    ready: list[pulumi.Resource]

    def __init__(self, name: str, args: CertbotArgs, opts: ResourceOptions | None = None) -> None:
        """Declare certbot under `name`, such as "web1-certbot"."""
        super().__init__("portcullis:index:Certbot", name, None, opts)
        self._name, self._args = name, args
        dns, plugin = args.acme.dns, certbot.PLUGINS[args.acme.dns.provider] if args.acme.dns else None
        self._packages = Packages(
            f"{name}-packages",
            host=args.host,
            names=["certbot", *([plugin.package] if plugin else [])],
            # Its purge would take lineages of other people along.
            on_delete="remove",
            opts=ResourceOptions(parent=self),
        )
        hooks = self._directory("hooks", certbot.HOOK_PATH.rpartition("/")[0])
        hook = self._file("hook", certbot.HOOK_PATH, certbot.hook(f"{name}-hook"), hooks, mode="0755")
        files = [hook]
        if args.acme.ca_bundle:
            files.append(self._file("ca", certbot.CA_BUNDLE_PATH, args.acme.ca_bundle, self._packages))
        if dns:
            secret = pulumi.Output.secret(dns.credentials)
            path = certbot.CREDENTIALS_PATH
            files.append(self._file("credentials", path, secret, self._packages, mode="0600"))
        environment = certbot.environment(
            certbot.CA_BUNDLE_PATH if args.acme.ca_bundle else "", dns.provider if dns else ""
        )
        # Also where it says nothing: systemd goes by what it read last, and would not see that the file went.
        folder = self._directory("unit", certbot.DROP_IN_PATH.rpartition("/")[0])
        text = certbot.drop_in(f"{name}-environment", environment)
        files.append(
            self._file("environment", certbot.DROP_IN_PATH, text, folder, test=["systemctl", "daemon-reload"])
        )
        timer = Service(
            f"{name}-timer",
            host=args.host,
            unit="certbot.timer",
            reads=[self._packages],
            on_change="restart",
            adopt=args.adopt,
            opts=ResourceOptions(parent=self, depends_on=[self._packages, *files]),
        )
        self.ready = [*files, timer]
        self.register_outputs({"server": args.acme.server})

    def certificate(
        self,
        site: str,
        names: Sequence[str],
        *,
        challenge: str = "http",
        after: Sequence[pulumi.Resource] = (),
        name: str = "",
    ) -> Certificate:
        """Declare the certificate of a site.

        Args:
            site: its host name.
            names: every name that it is for, the site's first.
            challenge: "http" or "dns".
            after: what has to be there before, such as an nginx that answers on port 80.
            name: of the resource.

        Raises:
            ValueError: it is to be proven by DNS, and no provider is known.
        """
        acme = self._args.acme
        if challenge == "dns" and acme.dns is None:
            raise ValueError(f"Certbot.certificate {site}: AcmeArgs.dns is missing")
        return Certificate(
            name or f"{self._name}-{site}",
            host=self._args.host,
            lineage=certbot.lineage(site, acme.server),
            domains=names,
            email=acme.email or "",
            server=acme.server,
            ca_bundle=certbot.CA_BUNDLE_PATH if acme.ca_bundle else "",
            webroot=nginx.ACME_ROOT,
            dns=acme.dns.provider if acme.dns and challenge == "dns" else "",
            dns_credentials=certbot.CREDENTIALS_PATH if challenge == "dns" else "",
            dns_propagation=acme.dns.propagation if acme.dns and challenge == "dns" else 0,
            profile=acme.profile,
            precheck=acme.precheck,
            unit="nginx.service",
            adopt=self._args.adopt,
            opts=ResourceOptions(parent=self, depends_on=[*self.ready, *after]),
        )

    def _directory(self, part: str, path: str) -> Directory:
        return Directory(
            f"{self._name}-{part}-folder",
            host=self._args.host,
            path=path,
            make_parents=True,
            adopt=self._args.adopt,
            opts=ResourceOptions(parent=self, depends_on=[self._packages]),
        )

    def _file(
        self,
        part: str,
        path: str,
        content: pulumi.Input[str],
        after: pulumi.Resource,
        *,
        mode: str = "0644",
        test: list[str] | None = None,
    ) -> File:
        return File(
            f"{self._name}-{part}",
            host=self._args.host,
            path=path,
            content=content,
            mode=mode,
            test=test,
            adopt=self._args.adopt,
            opts=ResourceOptions(parent=self, depends_on=[after]),
        )
