"""A certificate from an authority that speaks ACME, by certbot on the host."""

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
_MOST_NAMES = 100  # of one certificate; Let's Encrypt's limit


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
        """Check names, the authority, and how names are proven."""
        lineage, server = inputs.text("lineage"), inputs.text("server")
        if lineage is not None and not LINEAGE.fullmatch(lineage):
            inputs.fail("lineage", f"{lineage!r} is no name for a lineage, such as www.example.com")
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
            inputs.fail("domains", "names nothing" if not domains else f"{first} is not among them")
        for name in domains or ():
            if not _DOMAIN.match(name):
                inputs.fail("domains", f"{name!r} is no host name in small letters, such as www.example.com")
        if domains and len(domains) > _MOST_NAMES:
            inputs.fail("domains", f"{len(domains)} names are more than a certificate has: {_MOST_NAMES}")

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
            inputs.fail("domains", f"{wild[0]} is a wildcard, which only DNS proves; name a plugin in dns")

    def absent_inputs(self) -> Props:
        """Return a certificate that is not there."""
        return {"domains": {}, "expiry": ABSENT}

    def put(
        self, channel: Channel, item: Item, props: Props, *, timeout: float = WRITE_TIMEOUT, **more: Any
    ) -> Json:
        """Ask the agent, with the time that records of DNS take to be seen."""
        seconds = float(props.get("dns_propagation") or 0)
        return super().put(channel, item, props, timeout=timeout + AT_ONCE * seconds, **more)

    def diff(self, id_: str, olds: Props, news: Props) -> DiffResult:
        """Replace by making the new lineage first: the site moves to it before the old one goes."""
        found = super().diff(id_, olds, news)
        return DiffResult(replaces=found.replaces)

    def subject(self, change: Change) -> str:
        """Return what it is for."""
        # Not the lineage: its name ends in a digest of the rest.
        return f"certificate {change.props.get('common_name') or change.props.get('lineage', change.name)}"

    def differing(self, change: Change, subject: str) -> list[Line]:
        """Say what is wrong with it in certbot's and the server's own words."""
        found = [
            Line(subject, str(change.live.get(name)), "", Severity.WRONG, at=(name,))
            for name in ("expiry", "served")
            if change.changes(name)
        ]
        return with_rest(change, subject, found)


class Certificate(HostResource):
    """A lineage of certbot: a certificate that an authority issued, and that the system's timer renews.

    Renewals are no difference. That one is due and did not happen is: `expiry` says when the certificate ends
    and why, and an update tries again. `served` is what a server on the host shows for its first name, where
    nginx's configuration names the lineage.

    Before the authority is asked for the first time or anew, every name is looked up in DNS and asked for a
    token on port 80, at each of its addresses. An IPv6 address is left out where the host has no IPv6 itself.

    Attributes:
        fullchain: path of the certificate with its chain; a plain text, known from the start.
        privkey: path of its key, which only root can read.
        domains: the names in the certificate.
        issuer: who signed it: the organisation, or a name where there is none.
        expiry: "fresh", or when it ends and why it was not renewed.
        served: "this certificate", or what is shown instead of it.
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
        """Declare it. certbot has to be there, and a server that answers from `webroot` on port 80.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            lineage: certbot's name for it, and of its folder.
            domains: the names, the first of them the one that is asked for when it is read back.
            email: whose account with the authority it is, "" for one without; using it accepts the
                authority's terms.
            server: https:// address of the authority's directory. Another one in the same lineage has it
                issued anew; a lineage for each authority keeps the old one until the site has moved.
            ca_bundle: path on the host of the root that the authority's own server is trusted by, or "".
            webroot: folder on the host from which /.well-known/acme-challenge/ is answered.
            dns: certbot's plugin, such as "cloudflare", to prove names by DNS records instead; "" for none.
            dns_credentials: path on the host of the plugin's credentials file.
            dns_propagation: seconds until a record is seen everywhere.
            key_type: ECDSA on P-256, or RSA with 2048 bits.
            profile: the authority's profile; needs certbot 4.
            precheck: ask every name for a token before the authority does.
            unit: the server that is reloaded when it shows an older certificate; "" for none.
            on_delete: delete the lineage or keep it. One that was there before us is always kept.
            adopt: take over a lineage that is there and differs.
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
                # Of the two ways to prove names, only the one that is used.
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
