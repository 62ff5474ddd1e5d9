"""The keys of `portcullis:acme`: who issues the certificates of sites, and how names are proven."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from portcullis.components.certificates import render as certbot
from portcullis.settings import forms
from portcullis.settings.kinds import Choice, Field, Flag, Number, Section, Text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.settings.faults import Place

_SERVERS = {"production": certbot.PRODUCTION, "staging": certbot.STAGING}


@dataclass(frozen=True, slots=True)
class DnsSettings:
    """How names are proven by records: certbot's plugin, the secret with its credentials, seconds to wait."""

    provider: str
    credentials: str
    propagation: int


@dataclass(frozen=True, slots=True)
class AcmeSettings:
    """Who issues certificates, and to whom. `ca_bundle` is a local file."""

    email: str
    server: str
    ca_bundle: str | None
    profile: str
    precheck: bool
    dns: DnsSettings | None

    @property
    def directory(self) -> str:
        """The URL of the authority's directory."""
        return _SERVERS.get(self.server, self.server)


def _server(text: str) -> tuple[str, str] | None:
    if text in _SERVERS:
        return None
    if re.fullmatch(r"https://[A-Za-z0-9.-]+(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/-]*)?", text):
        return None
    return (
        "is not a certificate authority",
        "write production or staging, which are Let's Encrypt's, or the https:// address of a directory",
    )


def _acme(raw: Mapping[str, Any], at: Place) -> None:
    if isinstance(raw.get("caBundle"), str) and raw.get("server", "production") in _SERVERS:
        at.key("caBundle").report(
            "is for an authority that nobody knows", "Let's Encrypt's own servers need none: leave it out"
        )


EMAIL = Text(
    "an e-mail address", r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+", "write ops@example.com"
)
SERVER = Text("a certificate authority", refusal=_server)
PROFILE = Text("the name of a profile", r"[a-z0-9-]{1,40}", "write classic, tlsserver or shortlived")
PROVIDER = Choice("a plugin of certbot that Debian packages", tuple(sorted(certbot.PLUGINS)), {})

DNS = Section(
    "how names are proven by DNS records",
    DnsSettings,
    (
        Field("provider", PROVIDER, "who serves the zone: the plugin of certbot, such as cloudflare"),
        Field(
            "credentials",
            forms.SECRET_NAME,
            "the secret of `portcullis:secrets` that holds the plugin's credentials file, whole",
        ),
        Field("propagation", Number("a number of seconds", 0, 1800), "seconds until the record is seen", 60),
    ),
)

ACME = Section(
    "a certificate authority",
    AcmeSettings,
    (
        Field(
            "email",
            EMAIL,
            "whose account it is; using it accepts the authority's terms of service. An account that is "
            "there keeps its address",
        ),
        Field(
            "server",
            SERVER,
            "`production` or `staging`, which are Let's Encrypt's, or the https:// address of another "
            "authority's directory; staging's certificates are for trying, nobody trusts them",
            "production",
        ),
        Field(
            "caBundle",
            forms.FILE,
            "a local file with the root that the authority's own server is trusted by, where the host knows "
            "none",
            None,
        ),
        Field(
            "profile",
            PROFILE,
            "the profile of Let's Encrypt, such as `tlsserver`; needs certbot 4, which Debian 13 has",
            "",
        ),
        Field(
            "precheck",
            Flag(),
            "before anything is asked of the authority, ask every name for a token on port 80, as the "
            "authority will; false where the host cannot reach itself by its public address",
            default=True,
        ),
        Field("dns", DNS, "proves names by DNS records, for sites with `challenge: dns`", None),
    ),
    _acme,
)
