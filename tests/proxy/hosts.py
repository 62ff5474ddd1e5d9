"""The sites for the tests of nginx's behaviour, and their files."""

from __future__ import annotations

import gzip
from dataclasses import replace

from portcullis.components.certificates.render import ACME_ROOT
from portcullis.components.nginx import render as nginx
from portcullis.components.nginx.args import CorsArgs, LimitsArgs, MaintenanceArgs
from tests.golden.nginx_sites import a_site, lets_encrypt
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
    a_site(
        "app.example.com",
        {"/": API, "/down/": DOWN},
        aliases=("web.example.com", "*.apps.example.com"),
        redirect_from=("old.example.com",),
        cors=_CORS,
    ),
    a_site(
        "www.example.com",
        {"/api/": API, "/ws": LIVE},
        root="/var/www/www.example.com",
        spa=True,
        redirect_from=("example.com",),
    ),
    a_site("static.example.com", root="/var/www/static.example.com"),
    a_site("empty.example.com", root="/var/www/empty.example.com", spa=True),
    a_site("slow.example.com", {"/": API}, timeout=1, websocket_timeout=60),
    a_site("deaf.example.com", {"/": API}, websockets=False),
    a_site(
        "limited.example.com", {"/": API}, limits=LimitsArgs(requests=1, burst=2, connections=50, body="1K")
    ),
    a_site(
        "crowded.example.com", {"/": API}, limits=LimitsArgs(requests=0, burst=0, connections=2, body="0")
    ),
    a_site("guarded.example.com", {"/": API}, passwords=_PASSWORDS, cors=_CORS),
    a_site("office.example.com", {"/": API}, allow=(f"{OFFICE}/32",), cors=_CORS),
    a_site("short.example.com", redirect="https://www.example.com"),
    a_site("go.example.com", redirect="https://www.example.com/start?from=go"),
    a_site("hidden.example.com", redirect="https://www.example.com", passwords=_PASSWORDS),
    a_site(
        "closed.example.com",
        {"/": API},
        maintenance=MaintenanceArgs(message="Back <soon> at 14:00.", except_=(OFFICE,)),
    ),
    a_site("log.example.com", {"/": API}, access_log="json"),
    a_site(
        "kept.example.com",
        root="/var/www/static.example.com",
        headers={"cache-control": "public, max-age=60"},
    ),
    a_site("tilde.example.com", {"/": DOWN, "/~alice/": API}),
    a_site("nocsp.example.com", {"/": API}, csp="default-src 'self'"),
)
_HTTP = (
    a_site("plain.example.com", {"/": API}, redirect_from=("former.example.com",)),
    a_site(
        "shut.example.com",
        {"/": API},
        passwords=_PASSWORDS,
        allow=(OFFICE,),
        maintenance=MaintenanceArgs(except_=(OFFICE,)),
    ),
    a_site("plain-files.example.com", root="/var/www/static.example.com", spa=True),
)
SITES = (*(replace(site, certificate=lets_encrypt(site.name)) for site in _HTTPS), *_HTTP)
HTTPS_NAMES = tuple(site.name for site in _HTTPS)

_PAGE = "<!doctype html><title>{}</title>" + "<p>A page that is long enough to be worth compressing.</p>" * 20
_SCRIPT = "console.log('hello');\n" * 50
TOKEN = "token-of-the-authority"

FILES: dict[str, str | bytes] = {
    f"{ACME_ROOT}/.well-known/acme-challenge/{TOKEN}": "the answer",
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
