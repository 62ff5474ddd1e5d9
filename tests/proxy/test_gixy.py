"""gixy-next, which looks for security faults in nginx configurations, finds none in ours."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.components.nginx import render as nginx
from portcullis.components.nginx.args import ReverseProxyArgs
from tests.golden.nginx_sites import SITES
from tests.proxy import catalogue
from tests.proxy.nginx_process import check, prepare

if TYPE_CHECKING:
    from tests.proxy.certificates import Certificate
    from tests.proxy.roots import Root

GIXY = Path(sys.executable).with_name("gixy")


def findings(root: Root, folder: Path, texts: dict[str, str]) -> list[tuple[str, str]]:
    """Return gixy's findings in all files that nginx reads: the check, and an excerpt of the file.

    The files of nginx's package are among them.
    """
    dump = check(prepare(root, folder, texts), "-T")
    assert dump.returncode == 0, dump.stderr
    done = subprocess.run(
        [GIXY, "-f", "json", "-"], input=dump.stdout, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    # gixy warns of every X25519MLKEM768, because OpenSSL before 3.5 does not have it. We write it only for
    # systems with OpenSSL 3.5. test_nginx_accepts.py shows that their nginx accepts it.
    return [
        (each["plugin"], each["config"])
        for each in found
        if not (root.dialect.post_quantum and _is_of_the_hybrid_curve(each))
    ]


def _is_of_the_hybrid_curve(finding: dict[str, Any]) -> bool:
    said = "Group(s) `X25519MLKEM768` only exist in OpenSSL 3.5+."
    return finding["plugin"] == "ssl_ecdh_curve" and str(finding["reason"]).startswith(said)


@pytest.mark.parametrize("profile", nginx.PROFILES)
def test_gixy_finds_nothing(profile: str, any_root: Root, certificate: Certificate, tmp_path: Path) -> None:
    shared = ReverseProxyArgs(trusted_proxies=("192.0.2.0/24",))
    texts = catalogue.files(any_root, certificate=certificate, profile=profile, shared=shared)
    assert findings(any_root, tmp_path, texts) == []


@pytest.mark.parametrize(
    ("change", "check_name"),
    [
        (("proxy_set_header Host $host;", "proxy_set_header Host $http_host;"), "host_spoofing"),
        (
            ("        try_files $uri =404;", "        try_files $uri =404;\n        add_header X-A b;"),
            "add_header",
        ),
        (("    server_tokens off;", "    server_tokens on;"), "version_disclosure"),
    ],
)
def test_gixy_finds_planted_faults(
    change: tuple[str, str], check_name: str, any_root: Root, certificate: Certificate, tmp_path: Path
) -> None:
    texts = catalogue.files(any_root, [SITES["spa"]], certificate)
    path = nginx.site_path(SITES["spa"].name)
    assert change[0] in texts[path]
    texts[path] = texts[path].replace(*change)
    assert any(check_name in found for found, _ in findings(any_root, tmp_path, texts))


def test_gixy_finds_another_curve_that_some_systems_lack(
    any_root: Root, certificate: Certificate, tmp_path: Path
) -> None:
    texts = catalogue.files(any_root, [SITES["spa"]], certificate)
    begin = "ssl_ecdh_curve "
    assert begin in texts[nginx.TLS_PATH]
    texts[nginx.TLS_PATH] = texts[nginx.TLS_PATH].replace(begin, f"{begin}SecP256r1MLKEM768:")
    if any_root.dialect.post_quantum:
        assert [name for name, _ in findings(any_root, tmp_path, texts)] == ["ssl_ecdh_curve"]
    else:
        assert check(prepare(any_root, tmp_path, texts), "-t").returncode != 0, (
            "the root's OpenSSL refuses the curve"
        )
