"""Render nginx's files: shared settings, the servers for unknown host names, and a file for each site.

The stock nginx.conf stays as the package ships it. The stock file includes conf.d/*.conf and sites-enabled/*.
Our files are in conf.d. Some directives may stand only once at the http level, and the stock file of some
releases already has such directives (`server_tokens`, `gzip`, `ssl_protocols`). We write these directives
into every server block instead. Each site's file is complete, and the names of its maps and zones contain the
site's name. So you can add or remove a site, and the other files stay as they are.
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
