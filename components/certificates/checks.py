"""Checks of the files and secrets that the settings of a certificate authority name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portcullis.config.secret import named_secret

if TYPE_CHECKING:
    from portcullis.config.secret import HasSecrets
    from portcullis.config.section import Written


def authority(acme: Written, declared: HasSecrets) -> None:
    """Report a root certificate file that cannot be read, and DNS credentials that are not a declared secret.

    Args:
        acme: the settings of `AcmeArgs`, as the user wrote them.
        declared: the section with the declared secrets.
    """
    if isinstance(acme.get("ca_bundle"), str):
        from portcullis.components.certificates import own_certificates  # noqa: PLC0415 - slow, seldom needed

        own_certificates.chain(acme.get("ca_bundle"), acme.at.field("ca_bundle"))
    if "dns" in acme:
        dns = acme.section("dns")
        named_secret(declared, dns.get("credentials"), dns.at.field("credentials"))
