"""The typed data that both halves of `Certificate` exchange."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional

from portcullis.agent.wire import Desired, Facts, Spec

COVERED = "covered"
"""The value for a name that is in the certificate."""
FRESH = "fresh"
"""`expiry` of a certificate that is not due for renewal, or has been due for less than a day."""
SERVED = "this certificate"
"""`served` where a server shows this certificate, or no server shows any."""
LINEAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")
"""The names of lineages that we accept. certbot uses the name for files and folders."""

CA_VARIABLE = "REQUESTS_CA_BUNDLE"
"""Python's requests, and so certbot, trusts the file in this variable instead of its own list."""
# The plugin reads credentials from either file. Both variables name our one file, so it may have either form.
CREDENTIALS_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "route53": ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
}
"""Plugins that find their credentials file by environment variables. All others have an option for it."""


@dataclass(frozen=True)
class CertificateSpec(Spec):
    """Which lineage to read, and one of its names to request from a server on the host."""

    lineage: str
    name: str


@dataclass(frozen=True)
class CertificateDesired(Desired):
    """A certificate as it is declared. The fields of the way to prove names that is not used are None.

    Attributes:
        lineage: certbot's name for it.
        domains: the names, each with `COVERED`.
        common_name: the first of them.
        email: the e-mail address of the account with the authority.
        server: https:// address of the authority's directory.
        key_type: ecdsa or rsa.
        on_delete: remove or keep.
        ca_bundle: path of the root certificate of the authority's own server, or "".
        profile: the authority's profile, or "".
        unit: the server to reload when it shows an older certificate, or "".
        precheck: request a token from every name before the authority does.
        webroot: folder from which a server answers /.well-known/acme-challenge/.
        dns: certbot's plugin that proves names by DNS records, or "".
        dns_credentials: path of the plugin's credentials file.
        dns_propagation: seconds until a record is visible everywhere, in digits.
        expiry: `FRESH`. In a state that was read back: the value of the facts.
        served: `SERVED`. In a state that was read back: the value of the facts.
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
        """Return the name of its lineage."""
        return self.lineage

    def spec(self) -> CertificateSpec:
        """Return the lineage, and its first name that is not a wildcard: a server can answer that one."""
        names = [self.common_name, *sorted(self.domains)]
        name = next((name for name in names if not name.startswith("*.")), self.common_name)
        return CertificateSpec(self.lineage, name)


@dataclass(frozen=True)
class CertificateFacts(Facts):
    """A lineage as it is on the host. The fields of a way to prove names that it does not use are None.

    Attributes:
        domains: the names in the certificate, each with `COVERED`.
        key_type: type of the certificate's key.
        issuer: who signed the certificate: the organisation, or a name where there is none.
        expiry: `FRESH`, or when the certificate ends and why it was not renewed.
        served: `SERVED`, or what a server shows instead.
        server: the authority that renewals ask, by the address of its directory.
        profile: the authority's profile, or "".
        dns: certbot's DNS plugin; "" where a server proves names from a folder; any other way in angle
            brackets.
        webroot: that folder.
        dns_credentials: path of the plugin's credentials file.
        dns_propagation: seconds that certbot waits for a record, in digits.
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
