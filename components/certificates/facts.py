"""The typed data about a certificate that the provider and the host exchange."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from portcullis.agent.wire import Desired, Facts, Spec

COVERED = "covered"
"""The value of a name in the map `domains` if the certificate contains this name."""
FRESH = "fresh"
"""The value of `expiry` for a certificate that is not due for renewal, or has been due for less than a
day."""
SERVED = "this certificate"
"""The value of `served` if a server shows this certificate, or if no server shows a certificate."""
LINEAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")
"""The pattern of lineage names that we accept. certbot names files and folders after the lineage."""

CA_VARIABLE = "REQUESTS_CA_BUNDLE"
"""The environment variable with the path of the root certificates that certbot trusts. certbot uses the
Python library `requests`, which reads this variable."""
# The plugin for Route 53 reads credentials from two files in two forms. Both variables name the same file of
# ours, so our file may have either form.
CREDENTIALS_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "route53": ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
}
"""The DNS plugins that find their credentials file by environment variables, each with these variables. For
all other plugins, an option of certbot names the file."""


@dataclass(frozen=True)
class CertificateSpec(Spec):
    """A lineage to read, and the host name for which the agent requests a server's certificate."""

    lineage: str
    name: str


@dataclass(frozen=True)
class CertificateDesired(Desired):
    """A certificate as it is declared. Fields that only the other challenge (HTTP or DNS) uses are None.

    Attributes:
        lineage: certbot's name for the certificate.
        domains: the names of the certificate, each with `COVERED`.
        common_name: the first name of the certificate.
        email: the e-mail address of the account with the authority.
        server: https:// address of the authority's directory.
        key_type: the type of the certificate's key, ecdsa or rsa.
        on_delete: what a delete does with the lineage: remove or keep.
        ca_bundle: path of the root certificate for the authority's server; "" if the host already trusts that
            server.
        profile: the authority's profile; "" for its default profile.
        unit: the systemd unit of the server to reload when it shows an older certificate; "" for none.
        precheck: whether the agent requests a token from every name before the authority does.
        webroot: folder from which a server answers /.well-known/acme-challenge/.
        dns: certbot's plugin for the DNS challenge; "" for the HTTP challenge.
        dns_credentials: path of the plugin's credentials file.
        dns_propagation: seconds until a record is visible everywhere, in digits.
        expiry: the declared value is `FRESH`. A refresh sets `expiry` to the value from the host.
        served: the declared value is `SERVED`. A refresh sets `served` to the value from the host.
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
    webroot: str | None = None
    dns: str = ""
    dns_credentials: str | None = None
    dns_propagation: str | None = None
    expiry: str = FRESH
    served: str = SERVED

    @property
    def id(self) -> str:
        """Return the name of the certificate's lineage."""
        return self.lineage

    def spec(self) -> CertificateSpec:
        """Return the lineage, and the host name to ask a server for: the first name that is no wildcard."""
        names = [self.common_name, *sorted(self.domains)]
        name = next((name for name in names if not name.startswith("*.")), self.common_name)
        return CertificateSpec(self.lineage, name)


@dataclass(frozen=True)
class CertificateFacts(Facts):
    """A lineage as it is on the host. Fields that only the other challenge (HTTP or DNS) uses are None.

    Attributes:
        domains: the names in the certificate, each with `COVERED`.
        key_type: type of the certificate's key.
        issuer: the organisation that signed the certificate, or another name of the issuer if it has no
            organisation.
        expiry: `FRESH`, or a text that says when the certificate ends and why it was not renewed.
        served: `SERVED`, or a text about the other certificate that a server shows.
        server: address of the directory of the authority that renews the certificate.
        profile: the authority's profile; "" for its default profile.
        dns: certbot's DNS plugin; "" for the HTTP challenge from a folder; for any other authenticator, its
            name in angle brackets.
        webroot: the folder of the HTTP challenge.
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
    webroot: str | None = None
    dns_credentials: str | None = None
    dns_propagation: str | None = None
