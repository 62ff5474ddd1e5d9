"""The sites that the behaviour of nginx is looked at with, and their files."""

from __future__ import annotations

import gzip
from dataclasses import replace

from portcullis.components.nginx import render as nginx
from portcullis.components.nginx.args import CorsArgs, LimitsArgs, MaintenanceArgs
from tests.golden.nginx_sites import lets_encrypt
from tests.proxy.nginx_process import OFFICE

API = nginx.Upstream("172.17.0.1", 2019)
LIVE = nginx.Upstream("172.17.0.1", 2020)
DOWN = nginx.Upstream("172.17.0.1", 2021)
ALLOWED = "https://www.example.com"
USER, PASSWORD = "alice", "correct horse"

_CORS = CorsArgs(
    origins=(ALLOWED, "https://admin.example.com:8443"), exposed_headers=("X-Total-Count",), credentials=True
)
_PASSWORDS = "/etc/nginx/portcullis/guarded.htpasswd"
_HTTPS = (
    nginx.Site(
        "app.example.com",
        {"/": API, "/down/": DOWN},
        aliases=("web.example.com", "*.apps.example.com"),
        redirect_from=("old.example.com",),
        cors=_CORS,
    ),
    nginx.Site(
        "www.example.com",
        {"/api/": API, "/ws": LIVE},
        root="/var/www/www.example.com",
        spa=True,
        redirect_from=("example.com",),
    ),
    nginx.Site("static.example.com", root="/var/www/static.example.com"),
    nginx.Site("empty.example.com", root="/var/www/empty.example.com", spa=True),
    nginx.Site("slow.example.com", {"/": API}, timeout=1, websocket_timeout=3),
    nginx.Site("deaf.example.com", {"/": API}, websockets=False),
    nginx.Site(
        "limited.example.com", {"/": API}, limits=LimitsArgs(requests=1, burst=2, connections=50, body="1K")
    ),
    nginx.Site(
        "crowded.example.com", {"/": API}, limits=LimitsArgs(requests=0, burst=0, connections=2, body="0")
    ),
    nginx.Site("guarded.example.com", {"/": API}, passwords=_PASSWORDS, cors=_CORS),
    nginx.Site("office.example.com", {"/": API}, allow=(f"{OFFICE}/32",), cors=_CORS),
    nginx.Site("short.example.com", redirect="https://www.example.com"),
    nginx.Site("go.example.com", redirect="https://www.example.com/start?from=go"),
    nginx.Site("hidden.example.com", redirect="https://www.example.com", passwords=_PASSWORDS),
    nginx.Site(
        "closed.example.com",
        {"/": API},
        maintenance=MaintenanceArgs(message="Back <soon> at 14:00.", except_=(OFFICE,)),
    ),
    nginx.Site("log.example.com", {"/": API}, access_log="json"),
    nginx.Site(
        "kept.example.com",
        root="/var/www/static.example.com",
        headers=nginx.Headers(more={"cache-control": "public, max-age=60"}),
    ),
    nginx.Site("tilde.example.com", {"/": DOWN, "/~alice/": API}),
    nginx.Site("nocsp.example.com", {"/": API}, headers=nginx.Headers(csp="default-src 'self'")),
)
_HTTP = (
    nginx.Site("plain.example.com", {"/": API}, redirect_from=("former.example.com",)),
    nginx.Site(
        "shut.example.com",
        {"/": API},
        passwords=_PASSWORDS,
        allow=(OFFICE,),
        maintenance=MaintenanceArgs(except_=(OFFICE,)),
    ),
    nginx.Site("plain-files.example.com", root="/var/www/static.example.com", spa=True),
)
SITES = (*(replace(site, certificate=lets_encrypt(site.name)) for site in _HTTPS), *_HTTP)
HTTPS_NAMES = tuple(site.name for site in _HTTPS)

_PAGE = "<!doctype html><title>{}</title>" + "<p>A page that is long enough to be worth compressing.</p>" * 20
_SCRIPT = "console.log('hello');\n" * 50
TOKEN = "token-of-the-authority"

FILES: dict[str, str | bytes] = {
    f"{nginx.ACME_ROOT}/.well-known/acme-challenge/{TOKEN}": "the answer",
    "/var/www/www.example.com/index.html": _PAGE.format("the app"),
    "/var/www/www.example.com/assets/index-4f2a.js": _SCRIPT,
    "/var/www/www.example.com/assets/small-77aa.js": _SCRIPT,
    "/var/www/www.example.com/assets/small-77aa.js.gz": gzip.compress(b"made at build time"),
    "/var/www/www.example.com/assets/logo-99.png": b"\x89PNG" + b"a" * 2000,
    "/var/www/www.example.com/logo.svg": "<svg xmlns='http://www.w3.org/2000/svg'>" + "<g/>" * 200 + "</svg>",
    "/var/www/www.example.com/robots.txt": "User-agent: *\n",
    "/var/www/www.example.com/.env": "SECRET=1\n",
    "/var/www/www.example.com/assets/.git/config": "[core]\n",
    "/var/www/www.example.com/.well-known/security.txt": "Contact: mailto:security@example.com\n",
    "/var/www/static.example.com/index.html": _PAGE.format("static"),
    "/var/www/static.example.com/docs/index.html": _PAGE.format("docs"),
    "/var/www/static.example.com/404.html": _PAGE.format("not here"),
    "/var/www/static.example.com/.htaccess": "Deny from all\n",
    "/var/www/static.example.com/assets/a.css": "body {}\n" * 100,
}
