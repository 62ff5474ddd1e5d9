"""All example sites of the golden files together, as the files of one host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portcullis.components.nginx import render as nginx
from portcullis.components.nginx.args import ReverseProxyArgs
from tests.golden.nginx_sites import SITES
from tests.proxy.certificates import Certificate, issue

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from portcullis.components.nginx.render import Site
    from tests.proxy.roots import Root

HASH = "$2b$06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkY8jIucDrjc8deX1s0."
# Lines for modules that PyPI's nginx does not have. nginx.org's own packages have them.
_LEFT_OUT = ("    gzip_static on;\n", "gzip_static on;\n", "        stub_status;\n")


def base(
    root: Root, *, profile: str = "intermediate", shared: ReverseProxyArgs | None = None, brotli: bool = False
) -> dict[str, str]:
    """Return the files that all sites share, by path."""
    return {
        nginx.MAIN_PATH: nginx.limits("limits"),
        nginx.PACKAGED_SITE_PATH: nginx.packaged_site("packaged"),
        nginx.TLS_PATH: nginx.tls_snippet("tls", profile, root.dialect),
        nginx.COMPRESSION_PATH: nginx.compression("compression", brotli=brotli),
        nginx.DEFAULT_PATH: nginx.default_server("default", root.dialect, shared or ReverseProxyArgs()),
    }


def files(
    root: Root,
    sites: Iterable[Site] = tuple(SITES.values()),
    certificate: Certificate | None = None,
    **more: object,
) -> dict[str, str]:
    """Return everything that nginx reads for these sites, by path."""
    sites = tuple(sites)
    texts = base(root, **more)  # type: ignore[arg-type]
    for site in sites:
        texts[nginx.site_path(site.name)] = nginx.site(f"nginx-{site.name}", site, root.dialect)
    return built(root, texts) | beside(sites, certificate or issue(every_name(sites)))


def built(root: Root, texts: Mapping[str, str]) -> dict[str, str]:
    """Return the files without the lines that need a module that the nginx of `root` lacks."""
    if root.program is None:
        return dict(texts)
    found = dict(texts)
    for path, text in texts.items():
        for line in _LEFT_OUT:
            found[path] = found[path].replace(line, "") if line in text else found[path]
    return found


def every_name(sites: Iterable[Site]) -> list[str]:
    """Return all host names of the sites, also those that are redirected."""
    return [name for site in sites for name in (*site.names, *site.args.redirect_from)]


def beside(sites: Iterable[Site], certificate: Certificate) -> dict[str, str]:
    """Return the files with the certificates and passwords that the sites use, by path."""
    texts: dict[str, str] = {}
    for site in sites:
        if site.certificate:
            texts[site.certificate.chain] = certificate.chain
            texts[site.certificate.key] = certificate.key
            if site.certificate.chain == site.certificate.key:
                texts[site.certificate.key] = certificate.key + certificate.chain
        if site.passwords:
            texts[site.passwords] = f"alice:{HASH}\n"
    return texts
