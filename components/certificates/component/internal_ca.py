"""The stack's own certificate authority, for connections inside the stack.

The authority's private key exists only in the Pulumi state, as a secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
import pulumi_tls as tls
from pulumi import ResourceOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portcullis.components.certificates.args import InternalCaArgs

_CURVE = "P256"


class InternalCa(pulumi.ComponentResource):
    """A certificate authority that only this stack trusts.

    The method `server` makes a certificate for a server. Every `pulumi up` renews the certificates that are
    due for renewal. A preview shows such a renewal as a replacement (`readyForRenewal`). The preview also
    shows a change of every resource that uses the certificate. A renewal keeps the server's key. All keys are
    ECDSA on P-256. The keys are secrets in state, and the authority's key is on no host.

    Attributes:
        ca_pem: the authority's certificate, which clients need and which is no secret.

    Example:
        ```python
        import pulumi

        from portcullis.components import InternalCa, InternalCaArgs

        ca = InternalCa("inside", InternalCaArgs(server_hours=60 * 24, renew_hours=20 * 24))
        certificate, key = ca.server("web1-redis", ["redis"], ["172.17.0.1"])
        pulumi.export("ca", ca.ca_pem)
        ```
    """

    ca_pem: pulumi.Output[str]

    def __init__(self, name: str, args: InternalCaArgs, *, opts: ResourceOptions | None = None) -> None:
        """Declare the certificate authority.

        Args:
            name: the component's name, which is also the name in its certificate.
            args: the lifetimes of certificates.
            opts: options of the component.
        """
        super().__init__("portcullis:index:InternalCa", name, None, opts)
        self._args = args
        self._key = self._private_key(f"{name}-key")
        self._certificate = tls.SelfSignedCert(
            f"{name}-certificate",
            private_key_pem=self._key.private_key_pem,
            subject=tls.SelfSignedCertSubjectArgs(common_name=name, organization="Portcullis"),
            is_ca_certificate=True,
            # The authority may sign certificates of servers, but not of other authorities.
            max_path_length=0,
            set_subject_key_id=True,
            set_authority_key_id=True,
            allowed_uses=["cert_signing", "crl_signing"],
            validity_period_hours=self._args.ca_hours,
            # Renew the authority while it still outlives every server's certificate. The authority's key
            # stays the same. So clients with the old certificate accept servers with the new one, and the
            # other way round.
            early_renewal_hours=self._args.server_hours * 2,
            opts=ResourceOptions(parent=self),
        )
        self.ca_pem = self._certificate.cert_pem
        self.register_outputs({"ca_pem": self.ca_pem})

    def server(
        self, name: str, dns_names: Sequence[str], ip_addresses: Sequence[str] = ()
    ) -> tuple[pulumi.Output[str], pulumi.Output[str]]:
        """Declare the key and the certificate of a server. Return the certificate and the key as PEM.

        Args:
            name: the name of the resources, unique in the stack, such as "web1-redis".
            dns_names: the names by which clients reach the server: names of containers, host names.
            ip_addresses: addresses that clients connect to.

        Raises:
            ValueError: the server has neither a name nor an address, so no client would accept its
                certificate.
        """
        if not dns_names and not ip_addresses:
            raise ValueError(f"InternalCa.server {name}: the certificate needs a DNS name or an IP address")
        own = ResourceOptions(parent=self)
        key = self._private_key(f"{name}-key")
        request = tls.CertRequest(
            f"{name}-request",
            private_key_pem=key.private_key_pem,
            subject=tls.CertRequestSubjectArgs(common_name=[*dns_names, *ip_addresses][0]),
            dns_names=list(dns_names) or None,
            ip_addresses=list(ip_addresses) or None,
            opts=own,
        )
        certificate = tls.LocallySignedCert(
            f"{name}-certificate",
            cert_request_pem=request.cert_request_pem,
            ca_private_key_pem=self._key.private_key_pem,
            ca_cert_pem=self._certificate.cert_pem,
            allowed_uses=["digital_signature", "server_auth"],
            set_subject_key_id=True,
            validity_period_hours=self._args.server_hours,
            early_renewal_hours=self._args.renew_hours,
            opts=own,
        )
        # The key has the form PKCS#8, because some clients read no other form. The libraries of MongoDB and
        # Redis read all forms.
        return certificate.cert_pem, pulumi.Output.secret(key.private_key_pem_pkcs8)

    def _private_key(self, name: str) -> tls.PrivateKey:
        return tls.PrivateKey(name, algorithm="ECDSA", ecdsa_curve=_CURVE, opts=ResourceOptions(parent=self))
