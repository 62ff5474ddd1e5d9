"""Settings of certificates: an ACME authority, the stack's own authority, and a user's own certificates."""

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
        "write production or staging for Let's Encrypt, or the https:// address of another directory",
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
Provider = Annotated[str, Choice("a certbot plugin that Debian packages", tuple(sorted(render.PLUGINS)))]
Hours = Annotated[int, Number("a number of hours", 1, 36500 * _DAY)]
Seconds = Annotated[int, Number("a number of seconds", 0, 1800)]
ProjectFile = Annotated[
    str, Text("a file of the project", r"[A-Za-z0-9._/~][A-Za-z0-9._~/@+-]*", "write certs/www.pem")
]
Challenge = Annotated[Literal["http", "dns"], Choice("a way to prove a name")]
CertificateSource = Annotated[
    Literal["acme", "internal", "none"],
    Choice(
        "a source of certificates", refused={"off": "its meaning is unclear", "no": "its meaning is unclear"}
    ),
]


class DnsArgs(Section):
    """How certbot uses DNS records to prove to the authority that it controls the host names."""

    what: ClassVar[str] = "how to prove names by DNS records"

    provider: Provider
    """The DNS provider of the zone, by the name of certbot's plugin, such as cloudflare."""
    credentials: SecretName
    """The name of the secret that contains the plugin's whole credentials file."""
    propagation: Seconds = 60
    """Seconds to wait until a new DNS record is visible."""


class AcmeArgs(Section):
    """The certificate authority, and the account with it."""

    what: ClassVar[str] = "a certificate authority"

    email: Email | None = None
    """The e-mail address of the account with the authority. By using the account, you accept the authority's
    terms of service. An existing account keeps its e-mail address."""
    server: Server = "production"
    """`production` or `staging` for Let's Encrypt, or the https:// address of another authority's directory.
    Certificates of staging are for trials: no browser trusts them."""
    ca_bundle: LocalFile | None = None
    """A local file with the root certificate for the authority's server, if the host does not trust that
    server yet."""
    profile: Profile = ""
    """The certificate profile of the authority, such as Let's Encrypt's `tlsserver`. A profile needs certbot
    4, which Debian 13 has."""
    precheck: bool = True
    """Before certbot asks the authority, the agent requests a token from every name on port 80, as the
    authority does. Set false if the host cannot reach its own public address."""
    dns: DnsArgs | None = None
    """How certbot proves with DNS records that it controls a host name, for sites with `challenge: dns`."""

    @property
    def directory(self) -> str:
        """The URL of the authority's directory."""
        return _SERVERS.get(self.server, self.server)

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse `ca_bundle` for Let's Encrypt, because every host trusts Let's Encrypt already."""
        server = written.get("server", "production")
        if isinstance(written.get("ca_bundle"), str) and isinstance(server, str) and server in _SERVERS:
            written.at.field("ca_bundle").report(
                "is for private authorities only",
                "leave ca_bundle out: hosts trust Let's Encrypt without it",
            )


class CertificateArgs(Section):
    """A certificate that you bring yourself."""

    what: ClassVar[str] = "a certificate of your own"

    chain: ProjectFile
    """A file of the project with the certificate and then its chain, in PEM."""
    key: SecretName
    """The name of the secret with the certificate's private key, in PEM."""


class InternalCaArgs(Section):
    """How long the certificates of the stack's own authority last."""

    what: ClassVar[str] = "the stack's own certificate authority"

    ca_hours: Hours = 3650 * _DAY
    """How long the authority's own certificate lasts, in hours."""
    server_hours: Hours = 90 * _DAY
    """How long a server's certificate lasts, in hours."""
    renew_hours: Hours = 30 * _DAY
    """How many hours before the end of a server's certificate an `up` renews it. If no `up` runs in these
    hours, the certificate expires."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse a certificate that would always be due for renewal, or would outlive its authority."""
        hours = {
            name: valid(Hours, written.get(name, field.default)) for name, field in cls.model_fields.items()
        }
        if None in hours.values():
            return  # the field itself reports this fault
        if hours["renew_hours"] >= hours["server_hours"]:
            how = "every `up` would renew the certificate"
            written.at.field("renew_hours").report("is not shorter than server_hours", how)
        if hours["server_hours"] * 2 > hours["ca_hours"]:
            how = "the authority must outlive the certificates of its servers"
            written.at.field("server_hours").report("is more than half of ca_hours", how)
