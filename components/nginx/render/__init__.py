"""nginx: what all sites share, the servers for unknown hosts, and a file for each site.

The stock nginx.conf stays as the package ships it. It includes conf.d/*.conf and sites-enabled/*; ours is in
conf.d. What may stand only once at the http level, and stands there in some releases' stock file
(`server_tokens`, `gzip`, `ssl_protocols`), is said in every server block instead. Each site's file is whole:
maps and zones in it are named after the site, so sites come and go without each other.
"""

from __future__ import annotations

from portcullis.components.nginx.render.model import (
    KeyPair,
    Site,
    Upstream,
)
from portcullis.components.nginx.render.names import (
    CONF_D,
    FILES,
    PRIVATE,
    access_log,
    error_log,
    passwords_path,
    root,
    site_path,
)
from portcullis.components.nginx.render.shared import (
    BROTLI_PACKAGES,
    COMPRESSION_PATH,
    DEFAULT_PATH,
    MAIN_PATH,
    PACKAGED_SITE_PATH,
    STATUS,
    UNKNOWN_HOST_LOG,
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
    "BROTLI_PACKAGES",
    "COMPRESSION_PATH",
    "CONF_D",
    "DEFAULT_PATH",
    "FILES",
    "MAIN_PATH",
    "PACKAGED_SITE_PATH",
    "PRIVATE",
    "PROFILES",
    "STATUS",
    "TEST",
    "TLS_PATH",
    "UNKNOWN_HOST_LOG",
    "KeyPair",
    "Site",
    "Upstream",
    "access_log",
    "compression",
    "default_server",
    "error_log",
    "limits",
    "packaged_site",
    "passwords_path",
    "root",
    "site",
    "site_path",
    "tls_snippet",
]
