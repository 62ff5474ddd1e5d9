"""Who issues the certificates of sites, and certificates from elsewhere."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from portcullis.components.certificates import render
from portcullis.config.forms import LocalFile, SecretName
from portcullis.config.section import Section, Written
from portcullis.config.value_types import Choice, Number, Text, valid

_DAY = 24
_SERVERS = {"production": render.PRODUCTION, "staging": render.STAGING}


def _server(text: str) -> tuple[str, str] | None:
    if text in _SERVERS:
        return None
    if re.fullmatch(r"https://[A-Za-z0-9.-]+(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/-]*)?", text):
        return None
    return (
        "is not a certificate authority",
        "write production or staging, which are Let's Encrypt's, or the https:// address of a directory",
    )


Email = Annotated[
    str,
    Text(
        "an e-mail address",
        r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+",
        "write ops@example.com",
    ),
]
Server = Annotated[str, Text("a certificate authority", refused=_server)]
Profile = Annotated[
    str, Text("the name of a profile", r"[a-z0-9-]{1,40}", "write classic, tlsserver or shortlived")
]
Provider = Annotated[str, Choice("a plugin of certbot that Debian packages", tuple(sorted(render.PLUGINS)))]
Hours = Annotated[int, Number("a number of hours", 1, 36500 * _DAY)]
Seconds = Annotated[int, Number("a number of seconds", 0, 1800)]
ProjectFile = Annotated[
    str, Text("a file of the project", r"[A-Za-z0-9._/~][A-Za-z0-9._~/@+-]*", "write certs/www.pem")
]
Challenge = Annotated[Literal["http", "dns"], Choice("a way to prove a name")]
CertificateSource = Annotated[
    Literal["acme", "internal", "none"],
    Choice("where a certificate comes from", refused={"off": "say what is meant", "no": "say what is meant"}),
]


class DnsArgs(Section):
    """How names are proven by DNS records."""

    what: ClassVar[str] = "how names are proven by DNS records"

    provider: Provider
    """Who serves the zone: the plugin of certbot, such as cloudflare."""
    credentials: SecretName
    """The one of `secrets` that holds the plugin's credentials file, whole."""
    propagation: Seconds = 60
    """Seconds until the record is seen."""


class AcmeArgs(Section):
    """Who issues certificates, and to whom."""

    what: ClassVar[str] = "a certificate authority"

    email: Email | None = None
    """Whose account it is; using it accepts the authority's terms of service. An account that is there keeps
    its address."""
    server: Server = "production"
    """`production` or `staging`, which are Let's Encrypt's, or the https:// address of another authority's
    directory. Staging's certificates are for trying, nobody trusts them."""
    ca_bundle: LocalFile | None = None
    """A local file with the root that the authority's own server is trusted by, where the host knows none."""
    profile: Profile = ""
    """The profile of Let's Encrypt, such as `tlsserver`; needs certbot 4, which Debian 13 has."""
    precheck: bool = True
    """Before anything is asked of the authority, ask every name for a token on port 80, as the authority
    will; false where the host cannot reach itself by its public address."""
    dns: DnsArgs | None = None
    """Proves names by DNS records, for sites with `challenge: dns`."""

    @property
    def directory(self) -> str:
        """The URL of the authority's directory."""
        return _SERVERS.get(self.server, self.server)

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse a root for servers that everybody trusts."""
        server = written.get("server", "production")
        if isinstance(written.get("ca_bundle"), str) and isinstance(server, str) and server in _SERVERS:
            written.at.field("ca_bundle").report(
                "is for an authority that nobody knows",
                "Let's Encrypt's own servers need none: leave it out",
            )


class CertificateArgs(Section):
    """A certificate from elsewhere."""

    what: ClassVar[str] = "a certificate from elsewhere"

    chain: ProjectFile
    """A file of the project: the certificate, then its chain, in PEM."""
    key: SecretName
    """The one of `secrets` that holds its key, in PEM."""


class InternalCaArgs(Section):
    """How long certificates of the stack's own authority last."""

    what: ClassVar[str] = "an authority of one's own"

    ca_hours: Hours = 3650 * _DAY
    """Hours that the authority's own certificate lasts."""
    server_hours: Hours = 90 * _DAY
    """Hours that a server's certificate lasts."""
    renew_hours: Hours = 30 * _DAY
    """Hours before its end when the next `up` renews a server's certificate. The rest of its time is how long
    a host may go without an `up`."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse certificates that would always be due, or outlive their authority."""
        hours = {
            name: valid(Hours, written.get(name, field.default)) for name, field in cls.model_fields.items()
        }
        if None in hours.values():
            return  # that has been reported already
        if hours["renew_hours"] >= hours["server_hours"]:
            written.at.field("renew_hours").report("not shorter than server_hours", "it would always be due")
        if hours["server_hours"] * 2 > hours["ca_hours"]:
            how = "the authority has to outlive its servers' certificates"
            written.at.field("server_hours").report("more than half of ca_hours", how)
