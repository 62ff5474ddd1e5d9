"""A fixture for tests of a page: headless Chromium from Debian's package, driven by Selenium.

To use it, write ``pytest_plugins = ["lab.pytest_browser"]`` in a conftest.
"""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from selenium.webdriver import Chrome

_SECONDS = 120  # for a page to load and a script to end
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # Chromium has no sandbox for root
    "--disable-dev-shm-usage",  # /dev/shm of a container is small
    "--disable-gpu",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--window-size=1000,800",
)


@pytest.fixture
def open_browser(tmp_path: Path) -> Iterator[Callable[[Mapping[str, str]], Chrome]]:
    """Return a function that starts a browser. All browsers end with the test.

    The function takes the addresses of host names, for example ``{"www.example.com": host.address}``. The
    browser resolves no other names, so a page cannot reach a host that the test does not name. The browser
    accepts untrusted certificates, because other tests check the certificates of sites.
    """
    # Imported here, because every run of pytest loads this plugin and few open a browser.
    from selenium.webdriver import Chrome, ChromeOptions  # noqa: PLC0415
    from selenium.webdriver.chrome.service import Service  # noqa: PLC0415

    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    assert program and driver, "chromium and chromium-driver are missing: `make test` installs them"  # noqa: S101, PT018
    with ExitStack() as opened:

        def start(hosts: Mapping[str, str]) -> Chrome:
            options = ChromeOptions()
            options.binary_location = str(program)
            for option in _OPTIONS:
                options.add_argument(option)
            rules = [f"MAP {name} {address}" for name, address in hosts.items()]
            # Loopback stays reachable. No other name has an address.
            options.add_argument(
                f"--host-resolver-rules={', '.join([*rules, 'MAP * ~NOTFOUND', 'EXCLUDE 127.0.0.1'])}"
            )
            options.add_argument(f"--user-data-dir={tmp_path / f'browser-{len(hosts)}'}")
            options.accept_insecure_certs = True
            options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
            browser = Chrome(options, Service(driver, log_output=str(tmp_path / "chromedriver.log")))
            opened.callback(browser.quit)
            browser.set_page_load_timeout(_SECONDS)
            browser.set_script_timeout(_SECONDS)
            return browser

        yield start
