"""A certificate from an ACME authority, which certbot requests on the host."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from portcullis.agent.redaction import AT_ONCE
from portcullis.components.certificates.facts import (
    COVERED,
    FRESH,
    LINEAGE,
    SERVED,
    CertificateDesired,
    CertificateFacts,
)
from portcullis.components.certificates.render import PRODUCTION
from portcullis.host.provider import ABSENT, HostProvider, Normaliser, is_known
from portcullis.host.resource import HostResource
from portcullis.host.session import WRITE_TIMEOUT
from portcullis.provider.base import DiffResult
from portcullis.provider.changes import Line, Section, Severity, with_rest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    import pulumi

    from portcullis.host.agent_process import Json
    from portcullis.host.host import Host
    from portcullis.host.session import Channel
    from portcullis.host.survey import Item
    from portcullis.provider.base import Props
    from portcullis.provider.changes import Change

LIVE = "/etc/letsencrypt/live"

_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(\*\.)?({_LABEL}\.)+{_LABEL}\Z")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\Z")
_PLUGIN = re.compile(r"[a-z0-9]+\Z")
_PROFILE = re.compile(r"[a-z0-9-]+\Z")
_MOST_NAMES = 100  # names of one certificate; this is Let's Encrypt's limit


class CertificateProvider(HostProvider):
    """Provider of `Certificate`."""

    kind = "certificates"
    section = Section.SITES
    desired_type = CertificateDesired
    facts_type = CertificateFacts
    live = (
        "domains", "server", "key_type", "expiry", "served", "profile", "dns", "webroot", "dns_credentials",
        "dns_propagation",
    )  # fmt: skip
    identity = ("host", "lineage")
    sets = MappingProxyType({"domains": COVERED})
    chosen = ("issuer",)

    def normalise(self, inputs: Normaliser) -> None:
        """Check the names, the authority, and the settings of the challenge."""
        lineage, server = inputs.text("lineage"), inputs.text("server")
        if lineage is not None and not LINEAGE.fullmatch(lineage):
            inputs.fail("lineage", f"{lineage!r} is not a valid lineage name, such as www.example.com")
        if server is not None and not server.startswith("https://"):
            inputs.fail("server", f"{server!r} is not the https:// address of an authority's directory")
        email = inputs.text("email") if inputs.news.get("email") else None
        if email is not None and not _EMAIL.match(email):
            inputs.fail("email", f"{email!r} is not an e-mail address")
        inputs.one_of("key_type", "ecdsa", "rsa")
        inputs.one_of("on_delete", "remove", "keep")
        inputs.keep("expiry", "served", "profile", "dns", "dns_credentials", "dns_propagation")
        inputs.keep("email", "ca_bundle", "unit", "precheck")
        if inputs.news.get("ca_bundle"):
            inputs.path("ca_bundle")
        unit = inputs.news.get("unit")
        if unit and is_known(unit) and not str(unit).endswith(".service"):
            inputs.fail("unit", f"{unit!r} is not the full name of a service")
        profile = inputs.news.get("profile")
        if profile and is_known(profile) and not _PROFILE.match(profile):
            inputs.fail("profile", f"{profile!r} is not the name of a profile, such as tlsserver")
        self._names(inputs)
        self._proof(inputs)

    def _names(self, inputs: Normaliser) -> None:
        domains, first = inputs.news.get("domains"), inputs.news.get("common_name")
        inputs.inputs |= {"domains": domains, "common_name": first}
        if not is_known(domains):
            return
        if not domains or (is_known(first) and first not in domains):
            inputs.fail(
                "domains", "is empty" if not domains else f"does not contain {first}, the common_name"
            )
        for name in domains or ():
            if not _DOMAIN.match(name):
                inputs.fail(
                    "domains", f"{name!r} is not a host name in small letters, such as www.example.com"
                )
        if domains and len(domains) > _MOST_NAMES:
            inputs.fail(
                "domains", f"{len(domains)} names are too many: a certificate has {_MOST_NAMES} at most"
            )

    def _proof(self, inputs: Normaliser) -> None:
        plugin, domains = inputs.news.get("dns"), inputs.news.get("domains") or {}
        if not is_known(plugin) or not is_known(domains):
            return
        if plugin:
            inputs.path("dns_credentials")
            seconds = inputs.text("dns_propagation")
            if seconds is not None and not seconds.isdecimal():
                inputs.fail("dns_propagation", f"{seconds!r} is not a whole number of seconds")
            if not _PLUGIN.match(plugin):
                inputs.fail("dns", f"{plugin!r} is not the name of a plugin, such as cloudflare")
            return
        inputs.path("webroot")
        wild = sorted(name for name in domains if name.startswith("*."))
        if wild:
            inputs.fail("domains", f"{wild[0]} is a wildcard, which needs DNS records; set dns to a plugin")

    def absent_inputs(self) -> Props:
        """Return the inputs of a host without this certificate."""
        return {"domains": {}, "expiry": ABSENT}

    def put(
        self, channel: Channel, item: Item, props: Props, *, timeout: float = WRITE_TIMEOUT, **more: Any
    ) -> Json:
        """Ask the agent to issue the certificate.

        The time limit includes the time until DNS records are visible.
        """
        seconds = float(props.get("dns_propagation") or 0)
        return super().put(channel, item, props, timeout=timeout + AT_ONCE * seconds, **more)

    def diff(self, id_: str, olds: Props, news: Props) -> DiffResult:
        """Create the new lineage before deleting the old one, so that the site can change in between."""
        found = super().diff(id_, olds, news)
        return DiffResult(replaces=found.replaces)

    def subject(self, change: Change) -> str:
        """Return the word "certificate" and the certificate's first host name."""
        # The lineage's name may end in a digest, so people see the host name instead.
        return f"certificate {change.props.get('common_name') or change.props.get('lineage', change.name)}"

    def differing(self, change: Change, subject: str) -> list[Line]:
        """Return a line for each fault: the certificate ends soon, or a server shows another certificate."""
        found = [
            Line(subject, str(change.live.get(name)), "", Severity.WRONG, at=(name,))
            for name in ("expiry", "served")
            if change.changes(name)
        ]
        return with_rest(change, subject, found)


class Certificate(HostResource):
    """A lineage of certbot: a certificate that an authority issues and that the system's timer renews.

    A renewal is not a difference. A certificate that is due and was not renewed is a difference. Then
    `expiry` says when the certificate ends and why it was not renewed, and `up` tries again. `served` is the
    certificate that a server on the host shows for the first name. If the server shows another certificate,
    that is a difference only if nginx's configuration uses the lineage.

    Before certbot asks the authority, the agent looks every name up in DNS. The agent then requests a token
    on port 80 of each address that it found. The agent leaves IPv6 addresses out if the host itself has no
    IPv6.

    Attributes:
        fullchain: path of the certificate with its chain. A preview knows this path.
        privkey: path of the certificate's key, which only root can read.
        domains: the names in the certificate.
        issuer: the organisation that signed the certificate, or another name of the issuer if it has no
            organisation.
        expiry: "fresh", or a text that says when the certificate ends and why it was not renewed.
        served: "this certificate", or a text about the other certificate that a server shows.
    """

    fullchain: str
    privkey: str
    lineage: pulumi.Output[str]
    domains: pulumi.Output[dict[str, str]]
    issuer: pulumi.Output[str]
    expiry: pulumi.Output[str]
    served: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        host: Host | str,
        lineage: str,
        domains: Sequence[str],
        email: str,
        server: str = PRODUCTION,
        ca_bundle: str = "",
        webroot: str = "/var/www/acme",
        dns: str = "",
        dns_credentials: str = "",
        dns_propagation: int = 60,
        key_type: Literal["ecdsa", "rsa"] = "ecdsa",
        profile: str = "",
        precheck: bool = True,
        unit: str = "nginx.service",
        on_delete: Literal["remove", "keep"] = "remove",
        adopt: bool | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the certificate.

        The host needs certbot, and a server that answers from `webroot` on port 80.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            lineage: certbot's name for the certificate and its folder.
            domains: the names in the certificate. Each refresh checks which certificate a server shows for
                the first name.
            email: the e-mail address of the account with the authority; "" makes an account without an
                address. By using the account, you accept the authority's terms.
            server: https:// address of the authority's directory. If the address changes, certbot issues the
                certificate again in the same lineage. If you give each authority its own lineage, a site
                keeps the old certificate until the new one exists.
            ca_bundle: path on the host of the root certificate for the authority's server; "" if the host
                already trusts that server.
            webroot: folder on the host from which a server answers /.well-known/acme-challenge/.
            dns: certbot's plugin for the DNS challenge, such as "cloudflare"; "" for the HTTP challenge.
            dns_credentials: path on the host of the plugin's credentials file.
            dns_propagation: seconds until a record is visible everywhere.
            key_type: ECDSA on P-256, or RSA with 2048 bits.
            profile: the name of a certificate profile of the authority; "" for its default profile. A profile
                needs certbot 4 or newer.
            precheck: whether the agent requests a token from every name before the authority does.
            unit: the systemd unit of the server to reload when it shows an older certificate; "" for none.
            on_delete: whether a delete of the resource deletes or keeps the lineage. A lineage that existed
                before the resource is always kept.
            adopt: whether to take over an existing lineage that differs from the declaration.
            opts: resource options.
        """
        self.fullchain = f"{LIVE}/{lineage}/fullchain.pem"
        self.privkey = f"{LIVE}/{lineage}/privkey.pem"
        super().__init__(
            CertificateProvider,
            name,
            host=host,
            adopt=adopt,
            inputs={
                "lineage": lineage,
                "domains": dict.fromkeys(sorted(domains), COVERED),
                "common_name": next(iter(domains), ""),
                "email": email,
                "server": server,
                "ca_bundle": ca_bundle,
                "dns": dns,
                # Only the inputs of the challenge that is used.
                **(
                    {"dns_credentials": dns_credentials, "dns_propagation": str(dns_propagation)}
                    if dns
                    else {"webroot": webroot}
                ),
                "key_type": key_type,
                "profile": profile,
                "precheck": precheck,
                "unit": unit,
                "on_delete": on_delete,
                "expiry": FRESH,
                "served": SERVED,
            },
            outputs=("revision", "issuer"),
            opts=opts,
        )
