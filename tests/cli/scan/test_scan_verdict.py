"""Tests which faults a scan reports.

A fault is an answer that differs from the declared ports and certificates.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.cli.scan import report
from portcullis.cli.scan.verdict import compare
from portcullis.components.host.declared import Declared, Opening, declared
from portcullis.components.host.stack import load
from tests.config.test_settings import smallest

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_800_000_000
DAY = 86400
V4, V6 = "203.0.113.10", "2001:db8::10"
ALL = [(1, 65535)]


def settings(**host: Any) -> Declared:
    config = smallest()
    config["hosts"]["web1"] |= {"addressV6": V6, **host}
    return declared("web1", load(config).host_args("web1"))


def certificate(**changes: Any) -> dict[str, Any]:
    return {
        "trusted": True, "fault": "", "issuer": "Let's Encrypt", "names_it": True,
        "begins": NOW - 30 * DAY, "ends": NOW + 60 * DAY, **changes,
    }  # fmt: skip


def answered(*ports: int, greetings: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "source": "198.51.100.7", "open": sorted(ports), "refused": 0, "silent": 65535 - len(ports),
        "greetings": greetings or {}, "certificates": {"api.example.com": certificate()}, **more,
    }  # fmt: skip


def answer(four: dict[str, Any], six: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "from": "laptop", "method": "syn", "unresolved": [],
        "addresses": {V4: four, V6: six or answered(22, 80, 443)},
    }  # fmt: skip


def faults(found: dict[str, Any], told: Declared | None = None, ports: Any = ALL) -> list[str]:
    verdict = compare(told or settings(), found, ports, NOW)
    return [f"{fault.mark} {fault}" for fault in verdict.faults]


def test_a_host_as_declared_has_no_faults() -> None:
    verdict = compare(settings(), answer(answered(22, 80, 443)), ALL, NOW)
    assert verdict.faults == []
    assert report.status([verdict]) == 0
    assert report.table([verdict]).splitlines()[-1] == "open ports and certificates are as declared"


@pytest.mark.parametrize("family", [4, 6])
def test_an_undeclared_port_is_a_fault_and_names_its_protocol(family: int) -> None:
    leak = answered(
        22,
        80,
        443,
        3306,
        greetings={"3306": {"speaks": "mysql", "said": "8.4.2", "access": "requires credentials"}},
    )
    good = answered(22, 80, 443)
    (fault,) = faults(answer(leak, good) if family == 4 else answer(good, leak))
    assert fault.startswith(
        f"FAIL web1 {V4 if family == 4 else V6}: port 3306/tcp is open and nobody declared it"
    )
    assert "mysql: 8.4.2, requires credentials" in fault
    assert "docker ps --filter publish=3306" in fault
    assert "portcullis:hosts.web1.firewall.allow" in fault


@pytest.mark.parametrize(("missing", "hint"), [(22, "systemctl status ssh"), (443, "systemctl status nginx")])
def test_a_declared_port_that_does_not_answer_is_a_fault(missing: int, hint: str) -> None:
    (fault,) = faults(answer(answered(*{22, 80, 443} - {missing})))
    assert f"port {missing}/tcp is declared" in fault
    assert "does not answer" in fault
    assert hint in fault


def test_a_port_that_was_not_scanned_is_no_fault() -> None:
    assert faults(answer(answered(22), answered(22)), ports=[(22, 22), (3306, 3306)]) == []


def test_a_store_without_credentials_is_a_fault_even_if_it_is_declared() -> None:
    told = settings(firewall={"public": {"6379/tcp": {}}})
    open_store = {"6379": {"speaks": "redis", "said": "+PONG", "access": "without credentials"}}
    (fault,) = faults(answer(answered(22, 80, 443, 6379, greetings=open_store)), told)
    assert "redis on port 6379/tcp serves everybody without credentials" in fault
    guarded = {"6379": {"speaks": "redis", "said": "-NOAUTH", "access": "requires credentials"}}
    assert faults(answer(answered(22, 80, 443, 6379, greetings=guarded)), told) == []


def test_a_port_that_the_settings_open_has_to_answer_on_some_address() -> None:
    told = settings(firewall={"allow": {"8443/tcp": {}, "9000:9010/tcp": {}, "51820/udp": {}}})
    assert faults(answer(answered(22, 80, 443, 8443, 9003)), told) == []
    (fault,) = faults(answer(answered(22, 80, 443)), told)
    assert "port 8443/tcp is declared (a program of the host) but does not answer" in fault
    assert "portcullis:hosts.web1.firewall.allow[8443/tcp]" in fault


def test_a_port_for_some_sources_is_a_fault_if_others_reach_it() -> None:
    told = settings(firewall={"allow": {"5432/tcp": {"from": ["198.51.100.0/24", "9.9.9.9"]}}})
    assert faults(answer(answered(22, 80, 443)), told) == [], "we may not be one of them"
    assert faults(answer(answered(22, 80, 443, 5432, source="9.9.9.9")), told) == []
    (fault,) = faults(answer(answered(22, 80, 443, 5432, source="192.168.1.5")), told)
    assert fault.startswith(f"warn web1 {V4}: port 5432/tcp is open to 192.168.1.5, but ")
    assert "Behind a router, the host may see an address of ours that it allows" in fault
    assert "--from" in fault
    (fault,) = faults(answer(answered(22, 80, 443, 5432, source="8.8.8.8")), told)
    assert "port 5432/tcp is open to 8.8.8.8" in fault
    assert "9.9.9.9" in fault


def test_a_port_for_other_sources_is_in_the_table() -> None:
    told = settings(firewall={"allow": {"5432/tcp": {"from": ["198.51.100.0/24", "9.9.9.9"]}}})

    def row(source: str, ports: Any = ALL) -> list[tuple[str, str, str]]:
        table = compare(told, answer(answered(22, 80, 443, source=source)), ports, NOW).tables[V4]
        return [(row.mark, row.state, row.declared) for row in table if row.what == "5432/tcp"]

    ((mark, state, why),) = row("8.8.8.8")
    assert (mark, state) == ("ok", "closed to us")
    assert why.endswith("only for 198.51.100.0/24, 9.9.9.9")
    assert row("9.9.9.9")[0][1] == "no answer"
    assert row("8.8.8.8", [(1, 1024)]) == [], "it was not scanned"


def test_the_same_fault_of_several_certificates_is_reported_once() -> None:
    untrusted = certificate(trusted=False, fault="unknown issuer")
    shown = answered(22, 80, 443, certificates={"api.example.com": untrusted, "www.example.com": untrusted})
    (fault,) = faults(answer(shown, shown))
    assert f"web1 {V4}, {V6}, api.example.com, www.example.com: browsers do not trust" in fault


def test_overlapping_rules_allow_the_sources_of_all_of_them() -> None:
    some = {"8000:9000/tcp": {"from": ["9.9.9.9"]}}
    everybody = settings(firewall={"allow": {**some, "8080/tcp": {}}})
    found = answered(22, 80, 443, 8080, source="8.8.8.8")
    assert faults(answer(found), everybody) == []
    both = settings(firewall={"allow": {**some, "8080/tcp": {"from": ["8.8.8.0/24"]}}})
    assert faults(answer(found), both) == []
    (fault,) = faults(answer(answered(22, 80, 443, 8080, source="1.1.1.1")), both)
    assert "allows only 9.9.9.9, 8.8.8.0/24" in fault
    assert "allow[8000:9000/tcp] and portcullis:hosts.web1.firewall.allow[8080/tcp]" in fault
    alone = faults(answer(answered(22, 80, 443, 8081, source="8.8.8.8")), everybody)
    assert "port 8081/tcp is open to 8.8.8.8" in alone[0], "the range still has its sources"


def test_too_many_open_ports_to_ask_for_their_protocol_are_a_warning() -> None:
    told = settings(firewall={"allow": {"9000:9100/tcp": {}}})
    assert faults(answer(answered(22, 80, 443, *range(9000, 9037))), told) == []
    (fault,) = faults(answer(answered(22, 80, 443, *range(9000, 9038))), told)
    assert fault.startswith(f"warn web1 {V4}: answers on 41 ports, so only the SSH port was asked for its p")
    assert "--ports" in fault


def test_a_host_that_answers_nothing_is_not_called_closed() -> None:
    verdict = compare(settings(), answer(answered(), answered()), ALL, NOW)
    assert report.status([verdict]) == 2
    assert "nothing answers at 203.0.113.10, 2001:db8::10" in report.table([verdict])
    assert "fail2ban-client banned" in verdict.unreached


def test_a_silent_address_is_a_fault_and_an_address_without_a_route_is_a_warning() -> None:
    (fault,) = faults(answer(answered(22, 80, 443), answered()))
    assert fault.startswith(f"FAIL web1 {V6}: nothing answers, but another address of the host does")
    (fault,) = faults(answer(answered(22, 80, 443), answered(source=None)))
    assert fault.startswith(f"warn web1 {V6}: was not scanned: laptop has no route to it")
    assert "--from" in fault


def test_an_answer_on_every_port_is_one_fault_and_not_thousands() -> None:
    (fault,) = faults(answer(answered(*range(1, 60000))))
    assert "answers on 59999 ports" in fault


@pytest.mark.parametrize(
    ("changes", "mark", "said"),
    [
        ({"ends": NOW - 2 * DAY, "trusted": False, "fault": "expired"}, "FAIL", "ended 2 days ago"),
        ({"ends": NOW + DAY}, "warn", "ends in 1 days"),
        ({"names_it": False, "trusted": False, "fault": "mismatch"}, "FAIL", "is for other names"),
        ({"trusted": False, "fault": "unable to get issuer"}, "FAIL", "browsers do not trust"),
        (
            {"ends": 0, "begins": 0, "issuer": "", "fault": "no certificate is shown: reset"},
            "FAIL",
            "no certificate",
        ),
    ],
)
def test_faults_of_a_certificate_in_chain_name_and_dates(
    changes: dict[str, Any], mark: str, said: str
) -> None:
    found = answered(22, 80, 443, certificates={"api.example.com": certificate(**changes)})
    (fault,) = faults(answer(found))
    assert fault.startswith(f"{mark} web1 {V4}, api.example.com: ")
    assert said in fault


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["acme"].update(server="staging"), "Let's Encrypt's staging"),
        (
            lambda c: c["acme"].update(server="https://ca.example.com/dir"),
            "of an authority that the settings name",
        ),
        (lambda c: c["sites"]["api.example.com"].update(tls="internal"), "of this stack's own authority"),
    ],
)
def test_an_untrusted_certificate_of_a_declared_own_authority_is_a_warning(
    change: Callable[[dict[str, Any]], None], said: str
) -> None:
    config = smallest()
    change(config)
    found = answered(
        22, 80, 443, certificates={"api.example.com": certificate(trusted=False, fault="unknown issuer")}
    )
    (fault,) = faults(
        {**answer(found), "addresses": {V4: found}}, declared("web1", load(config).host_args("web1"))
    )
    assert fault.startswith("warn")
    assert said in fault


def test_a_host_without_sites_opens_only_ssh_on_its_declared_port() -> None:
    config = smallest() | {"sites": {}}
    config["hosts"]["web1"]["port"] = 2222
    (only,) = declared("web1", load(config).host_args("web1")).openings
    assert only == Opening(2222, 2222, "SSH", "portcullis:hosts.web1.port")


def test_sites_without_tls_need_no_port_443() -> None:
    config = smallest()
    config["sites"]["api.example.com"]["tls"] = "none"
    told = declared("web1", load(config).host_args("web1"))
    assert told.sites == ()
    assert {opening.first: opening.answers for opening in told.openings}[443] == "none"


def test_all_names_of_a_site_are_scanned_except_wildcards() -> None:
    config = smallest()
    config["acme"]["dns"] = {"provider": "cloudflare", "credentials": "dns"}
    config["secrets"] = {"dns": "x"}
    config["sites"]["api.example.com"] |= {
        "aliases": ["v2.example.com", "*.api.example.com"],
        "redirectFrom": ["old.example.com"],
        "challenge": "dns",
    }
    assert declared("web1", load(config, ["secrets"]).host_args("web1")).sites == (
        "api.example.com",
        "v2.example.com",
        "old.example.com",
    )


def test_what_is_declared_survives_json() -> None:
    told = settings(firewall={"allow": {"5432/tcp": {"from": ["9.9.9.9"]}}})
    assert Declared.read(json.loads(json.dumps(told.json()))) == told


def test_the_table_and_its_json() -> None:
    leak = answered(
        22,
        80,
        443,
        3306,
        greetings={"22": {"speaks": "ssh", "said": "SSH-2.0-OpenSSH_10.0", "access": "requires credentials"}},
    )
    verdict = compare(settings(), answer(leak, answered(source=None)), ALL, NOW)
    assert report.table([verdict]) == TABLE
    found = report.as_json([verdict])
    assert found["result"] == 1
    assert json.loads(json.dumps(found))["hosts"]["web1"]["addresses"][V4][3]["mark"] == "FAIL"


TABLE = """\
web1, all ports scanned from laptop with raw SYN packets
  2001:db8::10  (not scanned: no route)
  203.0.113.10  (0 refused, 65531 silent)
    ok    22/tcp    open  SSH                     ssh: SSH-2.0-OpenSSH_10.0
    ok    80/tcp    open  nginx: api.example.com
    ok    443/tcp   open  nginx: api.example.com
    FAIL  3306/tcp  open  nobody declared it
  certificates
    ok  api.example.com  trusted  203.0.113.10  Let's Encrypt, 60 days left

FAIL: web1 203.0.113.10: port 3306/tcp is open and nobody declared it
    on the host, `ss -ltnp 'sport = :3306'` and `docker ps --filter publish=3306` show what listens: stop it, or declare it under portcullis:hosts.web1.firewall.allow (a program) or .public (a container)

warn: web1 2001:db8::10: was not scanned: laptop has no route to it
    scan from a machine that has IPv6: --from ANOTHER-SSH-HOST

1 fault; 1 warning"""  # noqa: E501 - as it is printed
