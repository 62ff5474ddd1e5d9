"""nginx complains about a file for another release, and about lines that its own nginx.conf has already."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from portcullis.components.nginx import render as nginx
from portcullis.components.nginx.args import ReverseProxyArgs
from portcullis.dialect import DIALECTS
from tests.golden.nginx_sites import SITES, a_site
from tests.proxy import catalogue, roots
from tests.proxy.nginx_process import check, prepare

if TYPE_CHECKING:
    from pathlib import Path

    from tests.proxy.certificates import Certificate

EXTRA = "/etc/nginx/conf.d/extra.conf"


def said(release: str, folder: Path, changed: dict[str, str]) -> str:
    """Return the messages of `nginx -t` about the shared files, of which some are changed or added."""
    root = roots.root(release)
    return check(prepare(root, folder, catalogue.base(root) | changed)).stderr


@pytest.mark.parametrize(
    ("release", "line"),
    [
        ("debian-12", "ssl_prefer_server_ciphers off;"),
        ("debian-12", "gzip on;"),
        ("debian-13", "ssl_prefer_server_ciphers off;"),
        ("debian-13", "server_tokens off;"),
        ("debian-13", "gzip on;"),
    ],
)
def test_the_packages_nginx_conf_has_the_line_at_the_http_level_already(
    release: str, line: str, tmp_path: Path
) -> None:
    assert f'[emerg] "{line.partition(" ")[0]}" directive is duplicate' in said(
        release, tmp_path, {EXTRA: line}
    )


def test_http2_as_a_directive_is_unknown_before_1_25(tmp_path: Path) -> None:
    text = nginx.default_server("a", DIALECTS["debian-13"], ReverseProxyArgs())
    assert '[emerg] unknown directive "http2"' in said("debian-12", tmp_path, {nginx.DEFAULT_PATH: text})


def test_http2_as_a_parameter_is_a_warning_since_1_25(tmp_path: Path) -> None:
    text = nginx.default_server("a", DIALECTS["debian-12"], ReverseProxyArgs())
    assert '[warn] the "listen ... http2" directive is deprecated' in said(
        "debian-13", tmp_path, {nginx.DEFAULT_PATH: text}
    )


def test_the_post_quantum_curve_stops_nginx_with_an_older_openssl(tmp_path: Path) -> None:
    text = nginx.tls_snippet("a", "modern", DIALECTS["debian-13"])
    assert "X25519MLKEM768" in said("debian-12", tmp_path, {nginx.TLS_PATH: text})


def test_nginx_only_warns_of_a_name_that_two_sites_have(certificate: Certificate, tmp_path: Path) -> None:
    # So the settings have to refuse it: nginx would serve only one of the two sites.
    root = roots.root("debian-13")
    site = SITES["static-http"]
    twice = a_site("other.example.com", root="/var/www/other.example.com", aliases=(site.name,))
    done = check(prepare(root, tmp_path, catalogue.files(root, [site, twice], certificate)))
    assert done.returncode == 0
    assert f'[warn] conflicting server name "{site.name}" on 0.0.0.0:80, ignored' in done.stderr


def test_no_file_has_stapling_or_diffie_hellman_parameters() -> None:
    # Stapling would warn at every reload, because Let's Encrypt ended OCSP. Diffie-Hellman parameters are
    # useless without their ciphers.
    for dialect in DIALECTS.values():
        for profile in nginx.PROFILES:
            text = nginx.tls_snippet("a", profile, dialect)
            assert "ssl_stapling" not in text
            assert "ssl_dhparam" not in text
