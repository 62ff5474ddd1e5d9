"""The rendered hook, environment and credentials of certbot, compared with golden files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from portcullis.components.certificates import render as certbot

if TYPE_CHECKING:
    from tests.golden.conftest import Golden

LAB = "https://acme.internal.example:14000/dir"


def test_the_hook_that_has_nginx_take_up_a_renewed_certificate(golden: Golden) -> None:
    golden("certbot-hook", certbot.hook("web1-nginx-certbot-hook"))


def test_the_environment_of_the_timer(golden: Golden) -> None:
    both = certbot.environment(certbot.CA_BUNDLE_PATH, "route53")
    golden("certbot-environment.conf", certbot.drop_in("web1-nginx-certbot-environment", both))


def test_a_plugin_with_an_option_for_its_credentials_needs_no_environment() -> None:
    assert certbot.environment("", "cloudflare") == {}
    assert certbot.environment() == {}


def test_a_path_cannot_add_a_line_to_the_unit() -> None:
    with pytest.raises(ValueError, match="cannot contain unquoted"):
        certbot.drop_in("web1-x", {"REQUESTS_CA_BUNDLE": "/etc/ca.pem\nExecStart=/bin/sh"})


@pytest.mark.parametrize(
    ("site", "server", "name"),
    [
        ("www.example.com", certbot.PRODUCTION, "www.example.com"),
        ("www.example.com", certbot.STAGING, "www.example.com-staging"),
        ("www.example.com", LAB, "www.example.com-89ff6452"),
        ("*.example.com", certbot.PRODUCTION, "example.com"),
    ],
)
def test_each_authority_has_its_own_lineage_of_a_site(site: str, server: str, name: str) -> None:
    assert certbot.lineage(site, server) == name


def test_every_plugin_is_a_package_of_debian_and_says_what_its_file_looks_like() -> None:
    for name, plugin in certbot.PLUGINS.items():
        assert plugin.package == f"python3-certbot-dns-{name}"
        assert "…" in plugin.form
