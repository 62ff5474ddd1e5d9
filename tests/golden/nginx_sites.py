"""Example sites that cover every feature of a site, for the golden files and for tests with a real nginx."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from portcullis.components.nginx.args import CorsArgs, HstsArgs, LimitsArgs, MaintenanceArgs, SiteArgs
from portcullis.components.nginx.render import (
    KeyPair,
    Site,
    Upstream,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

API = Upstream("172.17.0.1", 2019)
LIVE = Upstream("172.17.0.1", 2020)
OFFICE = ("203.0.113.0/24", "2001:db8:1::/48")


_OF_A_HOST = {field.name for field in fields(Site)}


def a_site(name: str, apps: Mapping[str, Upstream] | None = None, **given: Any) -> Site:
    """Return a site with these fields of `Site` and `SiteArgs`. The fields are not validated."""
    return changed(Site(name, SiteArgs.model_construct(), apps or {}), **given)


def changed(site: Site, **given: Any) -> Site:
    """Return a copy of a site with some other fields of `Site` and `SiteArgs`."""
    here = {name: value for name, value in given.items() if name in _OF_A_HOST}
    args = {name: value for name, value in given.items() if name not in _OF_A_HOST}
    assert set(args) <= set(SiteArgs.model_fields)
    return replace(site, args=site.args.model_copy(update=args), **here)


def lets_encrypt(name: str) -> KeyPair:
    folder = f"/etc/letsencrypt/live/{name}"
    return KeyPair(f"{folder}/fullchain.pem", f"{folder}/privkey.pem")


def own(name: str) -> KeyPair:
    pem = f"/etc/nginx/portcullis/{name}.pem"
    return KeyPair(pem, pem)


def _sites() -> dict[str, Site]:
    everything = CorsArgs(
        origins=(
            "https://www.example.com",
            "https://admin.example.com:8443",
            "http://[::1]:3000",
            "tauri://localhost",
        ),
        methods=("GET", "POST"),
        headers=("Authorization", "Content-Type", "X-Tenant"),
        exposed_headers=("X-Total-Count", "Link"),
        credentials=True,
        max_age=600,
    )
    found = {
        "app": a_site("app.example.com", {"/": API}),
        "app-http": a_site("app-http.example.com", {"/": API}),
        "app-cors": a_site("cors.example.com", {"/": API}, cors=everything),
        "app-cors-http": a_site(
            "cors-http.example.com",
            {"/": API},
            cors=CorsArgs(origins=("http://app.example.com",)),
            websockets=False,
        ),
        "app-paths": a_site(
            "paths.example.com", {"/": API, "/live/": LIVE, "/ws": LIVE}, timeout=30, websocket_timeout=600
        ),
        "spa": a_site(
            "www.example.com",
            {"/api/": API, "/ws": LIVE},
            root="/var/www/www.example.com",
            spa=True,
            aliases=("web.example.com", "*.www.example.com"),
            redirect_from=("example.com", "old.example.com"),
            cors=CorsArgs(origins=("https://partner.example.net",)),
        ),
        "spa-http": a_site(
            "spa-http.example.com", {"/api/": API}, root="/var/www/spa-http.example.com", spa=True
        ),
        "spa-assets-app": a_site(
            "assets.example.com", {"/assets/": API}, root="/var/www/assets.example.com", spa=True
        ),
        "static": a_site("static.example.com", root="/var/www/static.example.com"),
        "static-http": a_site(
            "static-http.example.com",
            root="/var/www/static-http.example.com",
            redirect_from=("former.example.com",),
        ),
        "redirect-origin": a_site("short.example.com", redirect="https://www.example.com"),
        "redirect-url": a_site("go.example.com", redirect="https://www.example.com/start?from=go"),
        "redirect-guarded": a_site(
            "hidden.example.com",
            redirect="https://www.example.com",
            allow=OFFICE,
            passwords="/etc/nginx/portcullis/hidden.example.com.htpasswd",
        ),
        "redirect-http": a_site("short-http.example.com", redirect="https://www.example.com"),
        "guarded": a_site(
            "guarded.example.com",
            {"/": API},
            passwords="/etc/nginx/portcullis/guarded.example.com.htpasswd",
            allow=OFFICE,
            cors=CorsArgs(origins=("https://www.example.com",), credentials=True),
        ),
        "guarded-http": a_site(
            "guarded-http.example.com",
            root="/var/www/guarded-http.example.com",
            passwords="/etc/nginx/portcullis/guarded-http.example.com.htpasswd",
            allow=("203.0.113.7",),
        ),
        "maintenance": a_site(
            "closed.example.com",
            {"/": API},
            maintenance=MaintenanceArgs(
                message='Back at 14:00 & "better" <soon> \u2013 thanks', except_=OFFICE
            ),
            cors=CorsArgs(origins=("https://www.example.com",)),
        ),
        "maintenance-http": a_site(
            "closed-http.example.com", root="/var/www/closed-http.example.com", maintenance=MaintenanceArgs()
        ),
        "snippet": a_site(
            "snippet.example.com",
            {"/": API},
            snippet='location = /robots.txt {\n    return 200 "User-agent: *\\nDisallow: /\\n";\n}\n',
        ),
        "unlimited": a_site(
            "unlimited.example.com",
            {"/": API},
            limits=LimitsArgs(requests=0, burst=0, connections=0, body="0"),
            access_log="off",
            websockets=False,
        ),
        "limits": a_site(
            "limits.example.com",
            {"/": API},
            limits=LimitsArgs(requests=5, burst=0, connections=10, body="512K"),
            access_log="json",
        ),
        "headers": a_site(
            "headers.example.com",
            {"/": API},
            hsts=HstsArgs(max_age=31_536_000, include_sub_domains=True, preload=True),
            csp="default-src 'self'; frame-ancestors 'self'",
            csp_report_only="default-src 'none'; report-uri /csp",
            headers={
                "x-frame-options": "",
                "Permissions-Policy": "camera=(self)",
                "Reporting-Endpoints": 'main="https://reports.example.com/r"',
            },
        ),
        "no-csp": a_site("no-csp.example.com", root="/var/www/no-csp.example.com", hsts=False, csp=False),
        "dashes": a_site(
            "xn--bcher-kva.my-shop--2.a-b.example.com",
            {"/": API},
            cors=CorsArgs(origins=("https://a-b.example.com",)),
            maintenance=MaintenanceArgs(),
        ),
    }
    return {
        case: site if case.endswith("-http") else replace(site, certificate=_pair(case, site.name))
        for case, site in found.items()
    }


def _pair(case: str, name: str) -> KeyPair:
    return own(name) if case in ("headers", "no-csp") else lets_encrypt(name)


SITES = _sites()
"""The sites by the feature that they show. A site whose name ends in -http has no certificate."""
