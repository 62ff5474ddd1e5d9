"""Fixtures: real nginx of several releases, and a certificate for all sites."""

from __future__ import annotations

import pytest

from tests.golden.nginx_sites import SITES
from tests.proxy import catalogue, roots
from tests.proxy.certificates import Certificate, issue

RELEASES = ("debian-12", "debian-13", "newest")


@pytest.fixture(scope="session")
def certificate() -> Certificate:
    """Return one certificate for all sites of the catalogue.

    To make a certificate for each site would take too long.
    """
    return issue(catalogue.every_name(SITES.values()))


@pytest.fixture(scope="session", params=RELEASES)
def any_root(request: pytest.FixtureRequest) -> roots.Root:
    """Return the root folder of each nginx in turn."""
    return roots.root(request.param)
