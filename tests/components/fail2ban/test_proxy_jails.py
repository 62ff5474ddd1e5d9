"""Tests nginx's jails: which requests count, which addresses are never banned, and the declared resources."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.components import ProxyJails, ProxyJailsArgs
from portcullis.components.fail2ban import render
from portcullis.components.nginx import render as nginx
from portcullis.host import Host
from tests.previews import unknown_in

if TYPE_CHECKING:
    from tests.recording_engine import Deploy

LOGS = ("/var/log/nginx/b.example.com.error.log", "/var/log/nginx/a.example.com.error.log")


def component(*, adopt: bool = False, **args: Any) -> ProxyJails:
    return ProxyJails("web1-proxy-jails", ProxyJailsArgs(**args), host=Host("web1", adopt=adopt))


def test_each_jail_reads_its_own_logs(deploy: Deploy) -> None:
    engine = deploy(lambda: component(error_logs=LOGS, auth=True))
    jails = {r.inputs["jail"]: r.inputs["options"] for r in engine.of(":Fail2banJail")}
    sites = " ".join(sorted(LOGS))
    assert {name: options["logpath"] for name, options in jails.items()} == {
        "nginx-http-auth": sites,
        "nginx-limit-req": sites,
        "nginx-unknown-host": nginx.UNKNOWN_HOST_LOG,
    }
    assert jails["nginx-http-auth"] == {
        "filter": "nginx-http-auth",
        "backend": "auto",
        "logpath": sites,
        "port": "http,https",
        "banaction": "nftables",
        "maxretry": "5",
        "findtime": "600",
        "bantime": "3600",
        "bantime.increment": "true",
        "bantime.maxtime": "4838400",
    }


def test_no_log_is_named_by_a_pattern(deploy: Deploy) -> None:
    """fail2ban expands a pattern only when the jail starts, so it would miss the log of a new site."""
    engine = deploy(lambda: component(error_logs=LOGS, auth=True))
    assert not any("*" in r.inputs["options"]["logpath"] for r in engine.of(":Fail2banJail"))


def test_a_host_without_passwords_or_sites_has_no_jail_for_them(deploy: Deploy) -> None:
    engine = deploy(lambda: component(error_logs=LOGS))
    assert {r.inputs["jail"] for r in engine.of(":Fail2banJail")} == {"nginx-limit-req", "nginx-unknown-host"}
    engine = deploy(component)
    assert {r.inputs["jail"] for r in engine.of(":Fail2banJail")} == {"nginx-unknown-host"}


def test_the_jails_of_nginx_do_not_ban_from_ssh(deploy: Deploy) -> None:
    engine = deploy(lambda: component(error_logs=LOGS, auth=True))
    assert {r.inputs["options"]["port"] for r in engine.of(":Fail2banJail")} == {"http,https"}


def test_proxies_in_front_of_the_host_are_never_banned(deploy: Deploy) -> None:
    engine = deploy(
        lambda: component(error_logs=LOGS, auth=True, ignore=("203.0.113.7",), proxies=("198.51.100.0/24",))
    )
    for jail in engine.of(":Fail2banJail"):
        assert set(jail.inputs["ignoreip"]) == {"127.0.0.0/8", "::1", "203.0.113.7", "198.51.100.0/24"}


def test_the_filter_is_tested_and_comes_before_its_jail(deploy: Deploy) -> None:
    engine = deploy(lambda: component(adopt=True))
    file = engine.one(":File")
    assert file.inputs["path"] == "/etc/fail2ban/filter.d/portcullis-unknown-host.conf"
    assert file.inputs["test"] == render.TEST
    assert "web1-proxy-jails-filter" in engine.before("web1-proxy-jails-nginx-unknown-host")
    assert all(r.inputs["adopt"] is True for r in [*engine.of(":File"), *engine.of(":Fail2banJail")])


def test_passwords_need_a_log() -> None:
    with pytest.raises(ValueError, match="name the logs under error_logs"):
        ProxyJailsArgs(auth=True)


def test_one_error_names_every_invalid_argument() -> None:
    with pytest.raises(
        ValueError, match=r"(?s)\.error_logs\[0\].*\.ignore.*\.max_ban_time.*\.proxies\[0\]: "
    ):
        ProxyJailsArgs(error_logs=["/x/*.log"], ignore=["x"], proxies=["0.0.0.0/0"], max_ban_time="z")


def counted(line: str) -> str:
    """Return the address that the filter finds in a line. fail2ban removes the time of the line before."""
    pattern = render.FAILURES.replace("<ADDR>", "(?P<address>[0-9a-f.:]+)")
    found = re.search(pattern, re.sub(r"\[[^]]*\+0000\]", "[]", line, count=1))
    return found["address"] if found else ""


TIME = "[25/Nov/2026:13:00:00 +0000]"


@pytest.mark.parametrize(
    ("line", "who"),
    [
        (f'192.0.2.9 - - {TIME} "GET / HTTP/1.1" 444 0 "-" "zgrab/0.x"', "192.0.2.9"),
        (f'2001:db8::9 - - {TIME} "GET /.env HTTP/1.1" 444 0 "-" "-"', "2001:db8::9"),
        (f'192.0.2.9 - a b {TIME} "GET / HTTP/1.1" 444 0 "-" "-"', "192.0.2.9"),
        (f'192.0.2.9 - - {TIME} "GET / HTTP/2.0" 421 150 "-" "-"', "192.0.2.9"),
        (f'192.0.2.9 - - {TIME} "\\x16\\x03\\x01" 400 150 "-" "-"', "192.0.2.9"),
        (f'192.0.2.9 - - {TIME} "" 400 0 "-" "-"', "192.0.2.9"),
        (f'192.0.2.9 - - {TIME} "GET / HTTP/1.1" 404 0 "-" "\\x22 444 0 \\x22"', ""),
        (f'192.0.2.9 - - {TIME} "GET /\\x22 444 0 \\x22 HTTP/1.1" 200 0 "-" "-"', ""),
        (f'192.0.2.9 - 198.51.100.7 - - [] {TIME} "GET / HTTP/1.1" 444 0 "-" "-"', "192.0.2.9"),
    ],
)
def test_the_filter_finds_the_address_of_a_request_for_an_unknown_host(line: str, who: str) -> None:
    assert counted(line) == who


def test_a_preview_has_no_unknown_inputs() -> None:
    assert unknown_in(lambda: component(error_logs=LOGS, auth=True)) == set()
