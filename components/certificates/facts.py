"""What both halves of `Certificate` exchange."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional

from portcullis.agent.wire import Desired, Facts, Spec

COVERED = "covered"
"""Stands for a name in the certificate."""
FRESH = "fresh"
"""`expiry`: it is not yet due, or was due for less than a day."""
SERVED = "this certificate"
"""`served`: a server shows it, or none shows any."""
LINEAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")
"""What we accept as certbot's name of a lineage; it is a file's name."""

CA_VARIABLE = "REQUESTS_CA_BUNDLE"
"""What Python's requests, and with it certbot, trusts instead of its own list."""
# The credentials are in either of the two; pointing both at one file lets it hold what people have.
CREDENTIALS_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "route53": ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
}
"""Plugins that find their credentials file by environment variables; all others have an option for it."""


@dataclass(frozen=True)
class CertificateSpec(Spec):
    """Which lineage, and a name of it to ask a server on the host for."""

    lineage: str
    name: str


@dataclass(frozen=True)
class CertificateDesired(Desired):
    """A certificate as it is declared. Of the two ways to prove names, the one that is not used is None.

    Attributes:
        lineage: certbot's name for it.
        domains: the names, each with `COVERED`.
        common_name: the first of them.
        email: whose account with the authority it is.
        server: https:// address of the authority's directory.
        key_type: ecdsa or rsa.
        on_delete: remove or keep.
        ca_bundle: path of the root that the authority's own server is trusted by, or "".
        profile: the authority's profile, or "".
        unit: the server that is reloaded when it shows an older certificate, or "".
        precheck: ask every name for a token before the authority does.
        webroot: folder from which /.well-known/acme-challenge/ is answered.
        dns: certbot's plugin that proves names by DNS records, or "".
        dns_credentials: path of the plugin's credentials file.
        dns_propagation: seconds until a record is seen everywhere, in digits.
        expiry: `FRESH`; in a state that was read back, as the facts have it.
        served: `SERVED`; in a state that was read back, as the facts have it.
    """

    lineage: str
    domains: Mapping[str, str]
    common_name: str
    email: str
    server: str
    key_type: str
    on_delete: str
    ca_bundle: str = ""
    profile: str = ""
    unit: str = ""
    precheck: bool = True
    webroot: Optional[str] = None
    dns: str = ""
    dns_credentials: Optional[str] = None
    dns_propagation: Optional[str] = None
    expiry: str = FRESH
    served: str = SERVED

    @property
    def id(self) -> str:
        """Its lineage."""
        return self.lineage

    def spec(self) -> CertificateSpec:
        """Return the lineage, and its first name that is no wildcard: a server can be asked for that one."""
        names = [self.common_name, *sorted(self.domains)]
        name = next((name for name in names if not name.startswith("*.")), self.common_name)
        return CertificateSpec(self.lineage, name)


@dataclass(frozen=True)
class CertificateFacts(Facts):
    """A lineage as it is. What belongs to another way to prove names than the lineage's is None.

    Attributes:
        domains: the names in the certificate, each with `COVERED`.
        key_type: of the certificate's key.
        issuer: who signed it: the organisation, or a name where there is none.
        expiry: `FRESH`, or when it ends and why it was not renewed.
        served: `SERVED`, or what a server shows instead.
        server: the authority that renewals ask, by the address of its directory.
        profile: the authority's profile, or "".
        dns: certbot's plugin, "" where names are proven from a folder, in angle brackets any other way.
        webroot: that folder.
        dns_credentials: path of the plugin's credentials file.
        dns_propagation: seconds that are waited for a record, in digits.
    """

    domains: Mapping[str, str] = field(default_factory=dict)
    key_type: str = ""
    issuer: str = ""
    expiry: str = ""
    served: str = ""
    server: str = ""
    profile: str = ""
    dns: str = ""
    webroot: Optional[str] = None
    dns_credentials: Optional[str] = None
    dns_propagation: Optional[str] = None
