"""From sites and their authority, as they are declared, to what the proxy takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pulumi

from portcullis.components.certificates.args import AcmeArgs
from portcullis.components.certificates.component import certbot
from portcullis.components.nginx import render as nginx
from portcullis.components.nginx.proxied import OwnKeyPair, ProxiedSite

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from portcullis.components.certificates.args import CertificateArgs
    from portcullis.components.nginx.args import SiteArgs
    from portcullis.components.nginx.proxied import ProxiedApp


def proxied(
    site: SiteArgs,
    apps: Mapping[str, ProxiedApp],
    secrets: Mapping[str, pulumi.Input[str]],
    access_log: str,
) -> ProxiedSite:
    """Return a site.

    Args:
        site: as it is declared.
        apps: where the apps of its host answer, by name.
        secrets: what the stack's secrets hold, by name.
        access_log: the form of its access log.

    Raises:
        OSError: the file of its certificate cannot be read.
    """
    return ProxiedSite(
        {prefix: apps[app] for prefix, app in site.apps.items()},
        site.root,
        spa=site.spa,
        redirect=site.redirect,
        aliases=tuple(site.aliases),
        redirect_from=tuple(site.redirect_from),
        tls=_own_key_pair(site.certificate, secrets) if site.certificate else site.tls,
        challenge=site.challenge,
        passwords={user: secrets[secret] for user, secret in site.basic_auth.items()},
        more={
            "cors": site.cors,
            "websockets": site.websockets,
            "websocket_timeout": site.websocket_timeout,
            "timeout": site.timeout,
            "limits": site.limits,
            "headers": _headers(site),
            "allow": tuple(site.allow),
            "maintenance": site.maintenance,
            "snippet": site.snippet,
            "access_log": access_log,
        },
    )


def _own_key_pair(own: CertificateArgs, secrets: Mapping[str, pulumi.Input[str]]) -> OwnKeyPair:
    from portcullis.components.certificates import own_certificates  # noqa: PLC0415 - slow, seldom needed

    warning = own_certificates.warning(own.chain)
    if warning:
        pulumi.log.warn(warning)
    return OwnKeyPair(own_certificates.read(own.chain), secrets[own.key])


def _headers(site: SiteArgs) -> nginx.Headers:
    csp = "" if site.csp is False else site.csp
    return nginx.Headers(site.hsts or None, csp, site.csp_report_only, site.headers)


def authority(
    acme: AcmeArgs | None, sites: Iterable[SiteArgs], secrets: Mapping[str, pulumi.Input[str]]
) -> certbot.AcmeArgs | None:
    """Return who issues certificates, or None where no site wants one and nobody is named.

    Raises:
        OSError: the file with the authority's root cannot be read.
    """
    if acme is None:
        if not any(site.by_acme for site in sites):
            return None
        acme = AcmeArgs()
    dns = acme.dns
    return certbot.AcmeArgs(
        email=acme.email,
        server=acme.directory,
        ca_bundle=Path(acme.ca_bundle).expanduser().read_text("ascii") if acme.ca_bundle else "",
        profile=acme.profile,
        precheck=acme.precheck,
        dns=certbot.DnsArgs(dns.provider, secrets[dns.credentials], dns.propagation) if dns else None,
    )
