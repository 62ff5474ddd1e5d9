from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from portcullis.components.nginx import render as nginx
from portcullis.components.nginx.args import ReverseProxyArgs
from portcullis.dialect import DIALECTS
from tests.golden.nginx_sites import SITES

if TYPE_CHECKING:
    from tests.golden.conftest import Golden

NEW = DIALECTS["debian-13"]
OS = ("debian-12", "debian-13", "ubuntu-24.04")
CDN = ReverseProxyArgs(trusted_proxies=("192.0.2.0/24", "2001:db8:c::/48"), real_ip_header="CF-Connecting-IP")


@pytest.mark.parametrize("case", SITES)
def test_a_site(case: str, golden: Golden) -> None:
    site = SITES[case]
    golden(f"nginx.site.{case}.conf", nginx.site(f"web1-nginx-{site.name}", site, NEW))


@pytest.mark.parametrize("case", ["app", "spa"])
def test_a_site_before_http2_was_a_directive(case: str, golden: Golden) -> None:
    site = SITES[case]
    golden(
        f"nginx.site.{case}.debian-12.conf",
        nginx.site(f"web1-nginx-{site.name}", site, DIALECTS["debian-12"]),
    )


@pytest.mark.parametrize("os", OS)
@pytest.mark.parametrize("case", SITES)
def test_systems_differ_in_how_they_say_http2_and_in_nothing_else(case: str, os: str) -> None:
    told = (
        nginx.site("a", SITES[case], DIALECTS[os])
        .replace(" ssl http2;", " ssl;")
        .replace("    http2 on;\n", "")
    )
    assert told == nginx.site("a", SITES[case], NEW).replace("    http2 on;\n", "")


@pytest.mark.parametrize("os", ["debian-12", "debian-13"])
def test_the_servers_for_unknown_hosts(os: str, golden: Golden) -> None:
    golden(
        f"nginx.default.{os}.conf",
        nginx.default_server("web1-nginx-default", DIALECTS[os], ReverseProxyArgs()),
    )


def test_the_servers_for_unknown_hosts_behind_a_cdn(golden: Golden) -> None:
    golden("nginx.default.cdn.conf", nginx.default_server("web1-nginx-default", NEW, CDN))


@pytest.mark.parametrize("os", OS)
@pytest.mark.parametrize("profile", nginx.PROFILES)
def test_tls(profile: str, os: str, golden: Golden) -> None:
    golden(f"nginx.tls.{profile}.{os}.conf", nginx.tls_snippet("web1-nginx-tls", profile, DIALECTS[os]))


@pytest.mark.parametrize("brotli", [False, True], ids=["gzip", "brotli"])
def test_compression(golden: Golden, *, brotli: bool) -> None:
    name = "brotli" if brotli else "gzip"
    golden(f"nginx.compression.{name}.conf", nginx.compression("web1-nginx-compression", brotli=brotli))


def test_the_limits_of_nginx_itself(golden: Golden) -> None:
    golden("nginx.limits.conf", nginx.limits("web1-nginx-limits"))


def test_the_packaged_site_is_nothing_but_a_comment(golden: Golden) -> None:
    text = nginx.packaged_site("web1-nginx-packaged-site")
    golden("nginx.packaged-site.conf", text)
    assert all(line.startswith("#") for line in text.splitlines())
