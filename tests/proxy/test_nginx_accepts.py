"""Every supported nginx accepts every file that we write, beside the files of its package."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from portcullis.components.nginx import render as nginx
from portcullis.components.nginx.args import CorsArgs, MaintenanceArgs, ReverseProxyArgs
from tests.golden.nginx_sites import SITES, a_site
from tests.proxy import catalogue
from tests.proxy.nginx_process import check, prepare

if TYPE_CHECKING:
    from pathlib import Path

    from tests.proxy.certificates import Certificate
    from tests.proxy.roots import Root

CDN = ReverseProxyArgs(trusted_proxies=("192.0.2.0/24", "2001:db8:c::/48"), real_ip_header="CF-Connecting-IP")


def accepted(root: Root, folder: Path, texts: dict[str, str]) -> None:
    done = check(prepare(root, folder, texts))
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr, done.stderr


@pytest.mark.parametrize("profile", nginx.PROFILES)
def test_all_files_together(profile: str, any_root: Root, certificate: Certificate, tmp_path: Path) -> None:
    accepted(any_root, tmp_path, catalogue.files(any_root, certificate=certificate, profile=profile))


def test_all_files_behind_a_cdn_and_with_brotli_where_nginx_has_it(
    any_root: Root, certificate: Certificate, tmp_path: Path
) -> None:
    texts = catalogue.files(any_root, certificate=certificate, shared=CDN, brotli=any_root.modules)
    accepted(any_root, tmp_path, texts)


def test_each_site_alone(any_root: Root, certificate: Certificate, tmp_path: Path) -> None:
    for case, site in SITES.items():
        accepted(any_root, tmp_path / case, catalogue.files(any_root, [site], certificate))


def test_no_site_at_all(any_root: Root, tmp_path: Path) -> None:
    accepted(any_root, tmp_path, catalogue.built(any_root, catalogue.base(any_root)))


def shop(name: str) -> nginx.Site:
    return a_site(
        name,
        {"/": nginx.Upstream("172.17.0.1", 3000)},
        certificate=SITES["app"].certificate,
        cors=CorsArgs(origins=(f"https://app.{name}",), credentials=True, exposed_headers=("Link",)),
        maintenance=MaintenanceArgs(),
    )


def test_two_hundred_sites(any_root: Root, certificate: Certificate, tmp_path: Path) -> None:
    sites = [shop(f"customer-{number}.shops.example.com") for number in range(200)]
    accepted(any_root, tmp_path, catalogue.files(any_root, sites, certificate))


def test_the_longest_name_with_as_many_dashes_as_possible(
    any_root: Root, certificate: Certificate, tmp_path: Path
) -> None:
    label = f"a{'-' * 61}a"
    accepted(
        any_root, tmp_path, catalogue.files(any_root, [shop(f"{label}.{label}.{label}.ab.com")], certificate)
    )


def test_the_check_notices_a_missing_certificate(any_root: Root, tmp_path: Path) -> None:
    texts = catalogue.base(any_root)
    site = SITES["app"]
    texts[nginx.site_path(site.name)] = nginx.site("a", site, any_root.dialect)
    done = check(prepare(any_root, tmp_path, catalogue.built(any_root, texts)))
    assert done.returncode == 1
    assert "cannot load certificate" in done.stderr


def test_a_site_whose_name_sorts_before_the_shared_file(
    any_root: Root, certificate: Certificate, tmp_path: Path
) -> None:
    site = a_site("0.example.com", {"/": nginx.Upstream("172.17.0.1", 1)}, access_log="json")
    assert nginx.site_path("0.example.com") > nginx.DEFAULT_PATH
    accepted(any_root, tmp_path, catalogue.files(any_root, [site], certificate))
