"""The rendered filter and jails of fail2ban for nginx's logs, compared with golden files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from portcullis.components.fail2ban import jail_options, render
from portcullis.components.fail2ban.args import ProxyJailsArgs
from portcullis.components.nginx import render as nginx

if TYPE_CHECKING:
    from tests.golden.conftest import Golden

LOGS = [nginx.error_log("api.example.com"), nginx.error_log("www.example.com")]


def test_the_filter_for_unknown_hosts(golden: Golden) -> None:
    golden("fail2ban.filter.unknown-host.conf", render.unknown_host_filter("web1-proxy-jails-filter"))


@pytest.mark.parametrize("name", [render.HTTP_AUTH, render.LIMIT_REQ, render.UNKNOWN_HOST])
def test_a_jail_of_the_proxy(golden: Golden, name: str) -> None:
    jails = render.proxy_jails(ProxyJailsArgs(error_logs=LOGS, auth=True))
    texts, faults = jail_options.options(jails[name])
    assert not faults
    never = jail_options.ignored(["203.0.113.7", "2001:db8::/32"])
    golden(
        f"fail2ban.proxy.{name}.local",
        jail_options.jail(f"web1-proxy-jails-{name}", name, texts, never, enabled=True),
    )
