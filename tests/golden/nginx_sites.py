"""Sites with every feature and with what has to work together, for golden files and for real nginx."""

from __future__ import annotations

from dataclasses import replace

from portcullis.components.nginx.args import CorsArgs, HstsArgs, LimitsArgs, MaintenanceArgs
from portcullis.components.nginx.render import (
    Headers,
    KeyPair,
    Site,
    Upstream,
)

API = Upstream("172.17.0.1", 2019)
LIVE = Upstream("172.17.0.1", 2020)
OFFICE = ("203.0.113.0/24", "2001:db8:1::/48")


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
        "app": Site("app.example.com", {"/": API}),
        "app-http": Site("app-http.example.com", {"/": API}),
        "app-cors": Site("cors.example.com", {"/": API}, cors=everything),
        "app-cors-http": Site(
            "cors-http.example.com",
            {"/": API},
            cors=CorsArgs(origins=("http://app.example.com",)),
            websockets=False,
        ),
        "app-paths": Site(
            "paths.example.com", {"/": API, "/live/": LIVE, "/ws": LIVE}, timeout=30, websocket_timeout=600
        ),
        "spa": Site(
            "www.example.com",
            {"/api/": API, "/ws": LIVE},
            root="/var/www/www.example.com",
            spa=True,
            aliases=("web.example.com", "*.www.example.com"),
            redirect_from=("example.com", "old.example.com"),
            cors=CorsArgs(origins=("https://partner.example.net",)),
        ),
        "spa-http": Site(
            "spa-http.example.com", {"/api/": API}, root="/var/www/spa-http.example.com", spa=True
        ),
        "spa-assets-app": Site(
            "assets.example.com", {"/assets/": API}, root="/var/www/assets.example.com", spa=True
        ),
        "static": Site("static.example.com", root="/var/www/static.example.com"),
        "static-http": Site(
            "static-http.example.com",
            root="/var/www/static-http.example.com",
            redirect_from=("former.example.com",),
        ),
        "redirect-origin": Site("short.example.com", redirect="https://www.example.com"),
        "redirect-url": Site("go.example.com", redirect="https://www.example.com/start?from=go"),
        "redirect-guarded": Site(
            "hidden.example.com",
            redirect="https://www.example.com",
            allow=OFFICE,
            passwords="/etc/nginx/portcullis/hidden.example.com.htpasswd",
        ),
        "redirect-http": Site("short-http.example.com", redirect="https://www.example.com"),
        "guarded": Site(
            "guarded.example.com",
            {"/": API},
            passwords="/etc/nginx/portcullis/guarded.example.com.htpasswd",
            allow=OFFICE,
            cors=CorsArgs(origins=("https://www.example.com",), credentials=True),
        ),
        "guarded-http": Site(
            "guarded-http.example.com",
            root="/var/www/guarded-http.example.com",
            passwords="/etc/nginx/portcullis/guarded-http.example.com.htpasswd",
            allow=("203.0.113.7",),
        ),
        "maintenance": Site(
            "closed.example.com",
            {"/": API},
            maintenance=MaintenanceArgs(
                message='Back at 14:00 & "better" <soon> \u2013 thanks', except_=OFFICE
            ),
            cors=CorsArgs(origins=("https://www.example.com",)),
        ),
        "maintenance-http": Site(
            "closed-http.example.com", root="/var/www/closed-http.example.com", maintenance=MaintenanceArgs()
        ),
        "snippet": Site(
            "snippet.example.com",
            {"/": API},
            snippet='location = /robots.txt {\n    return 200 "User-agent: *\\nDisallow: /\\n";\n}\n',
        ),
        "unlimited": Site(
            "unlimited.example.com",
            {"/": API},
            limits=LimitsArgs(requests=0, burst=0, connections=0, body="0"),
            access_log="off",
            websockets=False,
        ),
        "limits": Site(
            "limits.example.com",
            {"/": API},
            limits=LimitsArgs(requests=5, burst=0, connections=10, body="512K"),
            access_log="json",
        ),
        "headers": Site(
            "headers.example.com",
            {"/": API},
            headers=Headers(
                hsts=HstsArgs(max_age=31_536_000, include_sub_domains=True, preload=True),
                csp="default-src 'self'; frame-ancestors 'self'",
                csp_report_only="default-src 'none'; report-uri /csp",
                more={
                    "x-frame-options": "",
                    "Permissions-Policy": "camera=(self)",
                    "Reporting-Endpoints": 'main="https://reports.example.com/r"',
                },
            ),
        ),
        "no-csp": Site(
            "no-csp.example.com", root="/var/www/no-csp.example.com", headers=Headers(hsts=None, csp="")
        ),
        "dashes": Site(
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
"""By what each shows; a case that ends in -http has no certificate."""
