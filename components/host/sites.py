"""From the settings of sites, and of their authority, to what the proxy takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pulumi

from portcullis.components.certificates.component.certbot import AcmeArgs, DnsArgs
from portcullis.components.nginx import render as nginx
from portcullis.components.nginx.args import OwnKeyPair, ProxiedSite
from portcullis.settings import own_certificates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.components.nginx.args import ProxiedApp
    from portcullis.settings import SiteSettings
    from portcullis.settings.acme import AcmeSettings


def proxied(
    site: SiteSettings,
    apps: Mapping[str, ProxiedApp],
    secrets: Mapping[str, pulumi.Input[str]],
    access_log: str,
) -> ProxiedSite:
    """Return a site.

    Args:
        site: its settings.
        apps: where the apps of its host answer, by name.
        secrets: what the stack's secrets hold, by name.
        access_log: the form of its access log.

    Raises:
        OSError: the file of its certificate cannot be read.
    """
    own = site.certificate
    warning = own_certificates.warning(own.chain) if own else ""
    if warning:
        pulumi.log.warn(warning)
    return ProxiedSite(
        {prefix: apps[app] for prefix, app in site.apps.items()},
        site.root,
        spa=site.spa,
        redirect=site.redirect,
        aliases=site.aliases,
        redirect_from=site.redirect_from,
        tls=OwnKeyPair(own_certificates.read(own.chain), secrets[own.key]) if own else site.tls,
        challenge=site.challenge,
        passwords={user: secrets[secret] for user, secret in site.basic_auth.items()},
        more={
            "cors": site.cors,
            "websockets": site.websockets,
            "websocket_timeout": site.websocket_timeout,
            "timeout": site.timeout,
            "limits": site.limits,
            "headers": nginx.Headers(site.hsts, site.csp, site.csp_report_only, site.headers),
            "allow": site.allow,
            "maintenance": site.maintenance,
            "snippet": site.snippet,
            "access_log": access_log,
        },
    )


def authority(settings: AcmeSettings | None, secrets: Mapping[str, pulumi.Input[str]]) -> AcmeArgs | None:
    """Return who issues certificates.

    Raises:
        OSError: the file with the authority's root cannot be read.
    """
    if settings is None:
        return None
    dns = settings.dns
    return AcmeArgs(
        email=settings.email,
        server=settings.directory,
        ca_bundle=Path(settings.ca_bundle).expanduser().read_text("ascii") if settings.ca_bundle else "",
        profile=settings.profile,
        precheck=settings.precheck,
        dns=DnsArgs(dns.provider, secrets[dns.credentials], dns.propagation) if dns else None,
    )
