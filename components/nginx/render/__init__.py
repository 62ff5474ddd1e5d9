"""nginx: what all sites share, the servers for unknown hosts, and a file for each site.

The stock nginx.conf stays as the package ships it. It includes conf.d/*.conf and sites-enabled/*; ours is in
conf.d. What may stand only once at the http level, and stands there in some releases' stock file
(`server_tokens`, `gzip`, `ssl_protocols`), is said in every server block instead. Each site's file is whole:
maps and zones in it are named after the site, so sites come and go without each other.
"""

from __future__ import annotations

from portcullis.components.nginx.render.model import (
    Headers,
    KeyPair,
    Site,
    Upstream,
)
from portcullis.components.nginx.render.names import (
    ACME_ROOT,
    CONF_D,
    FILES,
    PRIVATE,
    access_log,
    error_log,
    site_path,
)
from portcullis.components.nginx.render.shared import (
    BROTLI_PACKAGES,
    COMPRESSION_PATH,
    DEFAULT_PATH,
    MAIN_PATH,
    PACKAGED_SITE_PATH,
    REAL_IP_HEADERS,
    STATUS,
    UNKNOWN_HOST_LOG,
    Shared,
    compression,
    default_server,
    limits,
    packaged_site,
)
from portcullis.components.nginx.render.site import site
from portcullis.components.nginx.render.tls import PROFILES
from portcullis.components.nginx.render.tls import SNIPPET_PATH as TLS_PATH
from portcullis.components.nginx.render.tls import snippet as tls_snippet

TEST = ["nginx", "-t"]

__all__ = [
    "ACME_ROOT",
    "BROTLI_PACKAGES",
    "COMPRESSION_PATH",
    "CONF_D",
    "DEFAULT_PATH",
    "FILES",
    "MAIN_PATH",
    "PACKAGED_SITE_PATH",
    "PRIVATE",
    "PROFILES",
    "REAL_IP_HEADERS",
    "STATUS",
    "TEST",
    "TLS_PATH",
    "UNKNOWN_HOST_LOG",
    "Headers",
    "KeyPair",
    "Shared",
    "Site",
    "Upstream",
    "access_log",
    "compression",
    "default_server",
    "error_log",
    "limits",
    "packaged_site",
    "site",
    "site_path",
    "tls_snippet",
]
