"""nginx: the server for unknown hosts, and one server block for each site.

The stock nginx.conf stays as the package ships it. It includes conf.d/*.conf and sites-enabled/*; ours is in
conf.d. What may stand only once at the http level, and stands there in some releases' stock file
(`server_tokens`), is said in every server block instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from portcullis.render import header, word

if TYPE_CHECKING:
    from collections.abc import Mapping

CONF_D = "/etc/nginx/conf.d"
# 00: conf.d is read in alphabetical order, and the maps in it must come before the sites that use them.
DEFAULT_PATH = f"{CONF_D}/00-portcullis.conf"
PACKAGED_SITE_PATH = "/etc/nginx/sites-available/default"
FILES = "/var/www"
"""Folder of the folders that sites serve, each by its host name."""
TEST = ["nginx", "-t"]


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where an app answers: the IP address and port that its container is published on."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class HttpSite:
    """What one host name serves.

    Attributes:
        server_name: the host name.
        apps: where apps answer, by the beginning of the path: "/" is everything, "/api/" what is below it.
            The longest beginning that fits is taken.
        root: the folder of files to serve, or None. Its "/" is the folder's, so `apps` has none then.
        spa: a path that is no file gives index.html, which knows what to show (a single-page application).
    """

    server_name: str
    apps: Mapping[str, Upstream] = field(default_factory=dict)
    root: str | None = None
    spa: bool = False


def site_path(server_name: str) -> str:
    """Return the path of a site's file."""
    return f"{CONF_D}/{word(server_name)}.conf"


def packaged_site(resource: str) -> str:
    """Render what stands in place of Debian's welcome page, else the default server for port 80."""
    return (
        header(resource, "The packaged site, switched off.")
        + f"# Its `default_server` would clash with ours: unknown hosts are refused by {DEFAULT_PATH}.\n"
    )


def default_server(resource: str) -> str:
    """Render what all sites share, and the server that answers for every host name that is not a site."""
    return header(resource, "What all sites share, and the answer to unknown host names.") + (
        """
# A WebSocket handshake is passed on as such. For everything else the header is left out: an empty value keeps
# the connection to the app open for the next request, "close" would not.
map $http_upgrade $portcullis_connection {
    default upgrade;
    ""      "";
}

# nginx does not start with a host name that its hash cannot hold; the settings allow 200 characters.
# https://nginx.org/en/docs/http/server_names.html#optimization
server_names_hash_bucket_size 256;

server {
    listen 80 default_server;
    listen [::]:80 default_server;
    server_name _;
    # No version in headers and error pages.
    server_tokens off;
    access_log /var/log/nginx/unknown-host.access.log;
    error_log /var/log/nginx/unknown-host.error.log;

    # Scanners ask for the bare address or for other people's names. 444 closes the connection unanswered.
    location / {
        return 444;
    }
}
"""
    )


def http_site(resource: str, site: HttpSite) -> str:
    """Render a site over plain HTTP."""
    name = word(site.server_name)
    upstreams = {upstream: _app(name, upstream) for upstream in site.apps.values()}
    blocks = [
        header(resource, f"http://{name}"),
        *(_upstream(app, upstream) for upstream, app in upstreams.items()),
        f"""
server {{
    listen 80;
    listen [::]:80;
    server_name {name};
    # No version in headers and error pages.
    server_tokens off;
    # Directly in this folder: Debian's logrotate does not look into folders below it.
    access_log /var/log/nginx/{name}.access.log;
    error_log /var/log/nginx/{name}.error.log;
""",
        *([_files(site.root, spa=site.spa)] if site.root is not None else []),
        # nginx refuses a second block for one path.
        *([_ASSETS] if site.root is not None and "/assets/" not in site.apps else []),
        *(_proxied(prefix, upstreams[upstream]) for prefix, upstream in sorted(site.apps.items())),
        "}\n",
    ]
    return "".join(blocks)


def _app(name: str, upstream: Upstream) -> str:
    """Return the name of an upstream: of a site and port, for no two server blocks may share one."""
    return f"app-{name}-{upstream.port}"


def _upstream(app: str, upstream: Upstream) -> str:
    return f"""
upstream {app} {{
    # An address and no name: a name would be resolved at start, and nginx would not start while DNS is down.
    server {word(upstream.address)}:{upstream.port};
    keepalive 16;
}}
"""


_ASSETS = """
    # Build tools put the hash of its content into the name of every file here: it never changes.
    location /assets/ {
        add_header Cache-Control "public, max-age=31536000, immutable";
        try_files $uri =404;
    }
"""


def _files(root: str, *, spa: bool) -> str:
    missing = "/index.html" if spa else "=404"
    return f"""
    root {word(root)};

    location / {{
        # Asked for again each time, and answered by 304 where nothing changed: a new version shows at once.
        add_header Cache-Control "no-cache";
        try_files $uri $uri/index.html {missing};
    }}
"""


def _proxied(prefix: str, app: str) -> str:
    return f"""
    location {word(prefix)} {{
        proxy_pass http://{app};
        # Keepalive and WebSocket need 1.1; nginx speaks 1.0 to apps by default before 1.29.7.
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $portcullis_connection;
        # $host and not $http_host: with an absolute request line the two differ, and the client chooses.
        proxy_set_header Host $host;
        # Replaced and not appended to: what a client claims about itself must not reach the app.
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Forwarded-Host $host;
        proxy_set_header X-Forwarded-Port $server_port;
        proxy_set_header Forwarded "";
        # httpoxy: some runtimes turn a header Proxy into HTTP_PROXY. https://httpoxy.org
        proxy_set_header Proxy "";
        # The app is on this host: if it does not accept within seconds, it is down.
        proxy_connect_timeout 5s;
    }}
"""
