"""fail2ban's files for what nginx logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from portcullis.components.fail2ban.render import fail2ban, proxy_jails
from portcullis.components.nginx import render as nginx

if TYPE_CHECKING:
    from tests.golden.conftest import Golden

LOGS = [nginx.error_log("api.example.com"), nginx.error_log("www.example.com")]


def test_the_filter_for_unknown_hosts(golden: Golden) -> None:
    golden("fail2ban.filter.unknown-host.conf", proxy_jails.unknown_host_filter("web1-proxy-jails-filter"))


@pytest.mark.parametrize(
    ("name", "given"),
    [
        (proxy_jails.HTTP_AUTH, proxy_jails.http_auth(LOGS, "8w")),
        (proxy_jails.LIMIT_REQ, proxy_jails.limit_req(LOGS, "8w")),
        (proxy_jails.UNKNOWN_HOST, proxy_jails.unknown_host(nginx.UNKNOWN_HOST_LOG, "8w")),
    ],
)
def test_a_jail_of_the_proxy(golden: Golden, name: str, given: dict[str, fail2ban.Value]) -> None:
    texts, faults = fail2ban.options(given)
    assert not faults
    never = fail2ban.ignored(["203.0.113.7", "2001:db8::/32"])
    golden(
        f"fail2ban.proxy.{name}.local",
        fail2ban.jail(f"web1-proxy-jails-{name}", name, texts, never, enabled=True),
    )
