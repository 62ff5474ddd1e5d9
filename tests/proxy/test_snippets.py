"""The settings of a snippet have an effect where people expect it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from portcullis.components.nginx import render as nginx
from tests.golden.nginx_sites import a_site
from tests.proxy import catalogue, roots
from tests.proxy.edge import serving

if TYPE_CHECKING:
    from pathlib import Path

APP = "app.example.com"
PEM = nginx.KeyPair("/etc/nginx/app.pem", "/etc/nginx/app.pem")
NOBODY = nginx.Upstream("172.17.0.1", 2999)
PAGE = """error_page 502 /down.html;
location = /down.html { internal; default_type text/html; return 200 "back soon"; }"""


@pytest.mark.parametrize("websockets", [True, False], ids=["websockets", "none"])
def test_an_error_page_of_a_snippet_is_shown_for_an_app_that_is_down(
    tmp_path: Path, *, websockets: bool
) -> None:
    """nginx treats `error_page` like headers: a location inherits such lines only if it has none itself."""
    site = a_site(APP, {"/": NOBODY}, certificate=PEM, websockets=websockets, snippet=PAGE)
    root = roots.root("debian-13")
    with serving(root, tmp_path, catalogue.files(root, [site])) as edge:
        found = edge.ask(APP)
    assert (found.status, found.text) == (502, "back soon")
