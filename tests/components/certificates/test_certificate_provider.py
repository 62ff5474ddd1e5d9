"""The provider of certificates checks inputs.

It makes a new lineage of certbot before it deletes the old one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pulumi.output import Unknown

from portcullis.components.certificates import render as certbot
from portcullis.components.certificates.resource import CertificateProvider
from portcullis.host.session import WRITE_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.canned import CannedChannel

URN = "urn:pulumi:lab::portcullis::portcullis:index:Certificate::www"
INPUTS = {
    "host": "web1", "managed_by": URN, "lineage": "www.example.com", "common_name": "www.example.com",
    "domains": {"api.example.com": "covered", "www.example.com": "covered"}, "email": "ops@example.com",
    "server": certbot.PRODUCTION, "ca_bundle": "", "webroot": "/var/www/acme", "dns": "", "key_type": "ecdsa",
    "profile": "", "precheck": True, "unit": "nginx.service", "on_delete": "remove", "expiry": "fresh",
    "served": "this certificate",
}  # fmt: skip
BY_DNS = {
    **{key: value for key, value in INPUTS.items() if key != "webroot"},
    "dns": "cloudflare", "dns_credentials": "/etc/dns", "dns_propagation": "60",
}  # fmt: skip
FACTS = {
    "exists": True, "domains": INPUTS["domains"], "server": certbot.PRODUCTION, "key_type": "ecdsa",
    "issuer": "Let's Encrypt", "expiry": "fresh", "served": "this certificate", "profile": "", "dns": "",
    "webroot": "/var/www/acme", "revision": "7",
}  # fmt: skip


def answers(**facts: Any) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    def answer(op: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if op == "survey":
            return {"items": [{**item, "facts": facts} for item in arguments["items"]]}
        return {"facts": facts, "steps": []}

    return answer


def checked(**news: Any) -> dict[str, str]:
    found = CertificateProvider().check({}, {**INPUTS, **news})
    return {failure.property: failure.reason for failure in found.failures}


@pytest.mark.parametrize("inputs", [INPUTS, BY_DNS, {**INPUTS, "email": ""}])
def test_valid_inputs_pass_unchanged(inputs: dict[str, Any]) -> None:
    found = CertificateProvider().check({}, inputs)
    assert (found.failures, found.inputs) == ([], inputs)


def test_every_fault_is_reported_at_once() -> None:
    faults = checked(
        lineage="../up", domains={"WWW.example.com": "covered"}, email="ops", server="http://x",
        webroot="www", key_type="dsa", unit="nginx", profile="Ω", on_delete="burn",
    )  # fmt: skip
    assert set(faults) == {
        "lineage", "domains", "email", "server", "webroot", "key_type", "unit", "profile", "on_delete",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("domains", "said"),
    [
        ({}, "is empty"),
        ({"api.example.com": "covered"}, "does not contain www.example.com"),
        ({"www.example.com": "covered", "-x.example.com": "covered"}, "is not a host name"),
        ({"www.example.com": "covered", "a\n-d b": "covered"}, "is not a host name"),
        ({"www.example.com": "covered", "*.example.com": "covered"}, "wildcard"),
        ({f"n{number}.example.com": "covered" for number in range(101)}, "101 names are too many"),
    ],
)
def test_names_that_no_authority_accepts_are_refused(domains: dict[str, str], said: str) -> None:
    first = "www.example.com" if len(domains) < 9 else "n0.example.com"
    assert said in checked(domains=domains, common_name=first)["domains"]


def test_a_wildcard_needs_dns_and_passes_with_it() -> None:
    domains = {"*.example.com": "covered", "www.example.com": "covered"}
    assert CertificateProvider().check({}, {**BY_DNS, "domains": domains}).failures == []


@pytest.mark.parametrize("seconds", ["60", 60])
def test_seconds_have_one_spelling(seconds: Any) -> None:
    """A program in another language passes a number of seconds, but the value reads back as a text."""
    found = CertificateProvider().check({}, {**BY_DNS, "dns_propagation": seconds})
    assert (found.failures, found.inputs) == ([], BY_DNS)


@pytest.mark.parametrize("seconds", ["a while", 1.5, "-1"])
def test_invalid_seconds_are_refused(seconds: Any) -> None:
    found = CertificateProvider().check({}, {**BY_DNS, "dns_propagation": seconds})
    assert [failure.property for failure in found.failures] == ["dns_propagation"]


def test_the_new_lineage_is_made_before_the_old_one_is_deleted() -> None:
    found = CertificateProvider().diff("id", INPUTS, {**INPUTS, "lineage": "www.example.com-staging"})
    assert (found.replaces, found.delete_before_replace) == (["lineage"], False)
    assert CertificateProvider().diff("id", INPUTS, {**INPUTS, "server": certbot.STAGING}).replaces == []
    assert CertificateProvider().diff("id", INPUTS, {**INPUTS, "lineage": Unknown()}).replaces == []


def test_a_server_is_asked_for_the_first_name_that_is_not_a_wildcard() -> None:
    wild = {"*.example.com": "covered", "example.com": "covered"}
    for domains, first, asked in (
        (INPUTS["domains"], "www.example.com", "www.example.com"),
        (wild, "*.example.com", "example.com"),
        ({"*.example.com": "covered"}, "*.example.com", "*.example.com"),
    ):
        item = CertificateProvider().item({**INPUTS, "domains": domains, "common_name": first})
        assert item.spec == {"lineage": "www.example.com", "name": asked}


def test_a_renewal_changes_neither_input_nor_output(canned: Callable[..., CannedChannel]) -> None:
    channel = canned(answers(**FACTS))
    made = CertificateProvider().create(INPUTS)
    assert made.outs == {**INPUTS, "issuer": "Let's Encrypt", "revision": "7"}
    read = CertificateProvider().read("web1:www.example.com", made.outs)
    assert (read.inputs, read.outs) == (INPUTS, made.outs)
    (put,) = (sent for op, sent in channel.sent if op == "put")
    assert not {"host", "managed_by", "issuer"} & set(put["desired"])


def test_drift_shows_property_by_property(canned: Callable[..., CannedChannel]) -> None:
    late = "ends in 12 days (issued for 90 days): no answer"
    canned(answers(**{**FACTS, "expiry": late, "domains": {"www.example.com": "covered"}}))
    read = CertificateProvider().read("x", {**INPUTS, "revision": "7", "issuer": "Let's Encrypt"})
    assert read.inputs == {**INPUTS, "expiry": late, "domains": {"www.example.com": "covered"}}


def test_a_lineage_that_is_gone_is_drift_and_stays_in_the_state(canned: Callable[..., CannedChannel]) -> None:
    canned(answers(exists=False))
    read = CertificateProvider().read("x", {**INPUTS, "revision": "7", "issuer": "Let's Encrypt"})
    assert (read.id, read.inputs["domains"], read.inputs["expiry"]) == ("x", {}, "<absent>")
    assert read.outs["issuer"] == "Let's Encrypt"


def test_a_request_allows_the_time_until_dns_records_are_visible() -> None:
    waited = []

    class Channel:
        def request(self, _op: str, *, timeout: float, **_: Any) -> dict[str, Any]:
            waited.append(timeout)
            return {"facts": {}}

    provider = CertificateProvider()
    for inputs in (INPUTS, {**BY_DNS, "dns_propagation": "1800"}):
        provider.put(Channel(), provider.item(inputs), inputs)
    assert waited == [WRITE_TIMEOUT, WRITE_TIMEOUT + 4 * 1800]
