"""Tests how a stack's severities and exemptions are read, and what they do."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from portcullis.components.host.stack import load
from portcullis.config.faults import SettingsError
from portcullis.policy import args
from portcullis.policy.verdict import judge, unneeded
from tests.policy.policy_examples import EXAMPLES, container

REASON = "The vendor's image writes to its own folder."
OPEN = container("api", ports=[{"internal": 80.0, "external": 80.0}])
TODAY = dt.date(2026, 11, 26)


@pytest.fixture(autouse=True)
def today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(args, "today", lambda: TODAY)


def exempt(
    until: str = "2026-11-26", resource: str = "api", policy: str = "no-public-bind"
) -> dict[str, Any]:
    return {"exempt": {policy: {resource: {"reason": REASON, "until": until}}}}


def faults(raw: Any) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        args.of_raw(raw)
    return [str(fault) for fault in refused.value.faults]


def test_without_settings_every_policy_keeps_its_default() -> None:
    assert args.of_raw({}) == args.of_raw(None) == args.of_config(None)
    assert args.of_raw({}).severity == {}


def test_all_faults_are_reported_at_once_with_hints() -> None:
    raw = {
        "severities": {},
        "severity": {"no-public-bin": "stop", "memory-limit": "warning"},
        "exempt": {
            "read-only-roof": {"api": {"reason": REASON, "until": "2027-01-31"}},
            "read-only-root": {
                "api": {"reason": "because", "until": "31.1.2027"},
                "web": {"until": "2027-02-30"},
            },
        },
    }
    exempt, date = "portcullis:policy.exempt", "is not a date; write year-month-day, such as 2027-01-31"
    sentence = "write one line that explains the exemption to a reviewer"
    assert (
        "\n".join(faults(raw))
        == f"""\
portcullis:policy.severities: is not a known key; did you mean severity?
portcullis:policy.severity.no-public-bin: "no-public-bin" is not a policy; did you mean no-public-bind?
portcullis:policy.severity.memory-limit: "warning" is not a severity; did you mean warn?
{exempt}.read-only-roof: "read-only-roof" is not a policy; did you mean read-only-root?
{exempt}.read-only-root.api.reason: "because" is not a reason; {sentence}
{exempt}.read-only-root.api.until: "31.1.2027" {date}
{exempt}.read-only-root.web.reason: is missing; the reason for the exemption, in one sentence
{exempt}.read-only-root.web.until: "2027-02-30" {date}"""
    )


def test_the_program_refuses_faulty_policy_settings_too() -> None:
    with pytest.raises(SettingsError) as refused:
        load({"policy": {"severity": {"hsts": "off"}}})
    assert "portcullis:policy.severity.hsts" in str(refused.value)
    assert "portcullis:hosts" in str(refused.value)


@pytest.mark.parametrize("written", ["2027-01-31", "2027-01-31T00:00:00Z", "2027-01-31 00:00:00 +0000 UTC"])
def test_a_date_without_quotes_arrives_as_a_timestamp(written: str) -> None:
    settings = args.of_raw(exempt(written))
    assert settings.exempt["no-public-bind"]["api"].until == dt.date(2027, 1, 31)


def test_an_exemption_is_for_a_year_at_most() -> None:
    assert args.of_raw(exempt("2027-11-26")).exempt["no-public-bind"]["api"].until == dt.date(2027, 11, 26)
    (fault,) = faults(exempt("2027-11-27"))
    assert fault == (
        'portcullis:policy.exempt.no-public-bind.api.until: "2027-11-27" is more than a year from today; '
        "write 2027-11-26 or an earlier date, and renew the exemption then"
    )


def test_an_exemption_must_not_be_encrypted() -> None:
    hosts = {"web1": {}}
    with pytest.raises(SettingsError) as refused:
        load({"hosts": hosts, "policy": exempt()}, secret=["policy"])
    (fault,) = (str(one) for one in refused.value.faults if one.path == "portcullis:policy")
    assert (
        fault
        == "portcullis:policy: is encrypted; write the policy unencrypted, so that reviewers can read it"
    )


@pytest.mark.parametrize("severity", ["stop", "warn"])
def test_the_severity_of_a_policy(severity: str) -> None:
    settings = args.of_raw({"severity": {"no-public-bind": severity}})
    assert [one.severity for one in judge([OPEN], settings)] == [severity]


def test_a_policy_that_is_off_checks_nothing() -> None:
    assert not list(judge([OPEN], args.of_raw({"severity": {"no-public-bind": "off"}})))


@pytest.mark.parametrize("resource", ["api", OPEN.urn])
def test_an_exemption_holds_to_its_last_day(resource: str) -> None:
    settings = args.of_raw(exempt(resource=resource))
    (one,) = judge([OPEN], settings, TODAY)
    assert one.exempt
    (later,) = judge([OPEN], settings, TODAY + dt.timedelta(days=1))
    assert not later.exempt
    assert later.message.splitlines()[-1] == (
        f'The exemption "{REASON}" ended on 2026-11-26: fix the resource, or renew the date.'
    )


def test_an_exemption_is_for_one_resource_and_one_policy() -> None:
    for other in (exempt(resource="api2"), exempt(policy="memory-limit")):
        (one,) = judge([OPEN], args.of_raw(other), TODAY)
        assert one.exemption is None


def test_an_unused_exemption_is_reported() -> None:
    settings = args.of_raw(exempt(resource="api2"))
    assert list(unneeded(judge([OPEN], settings, TODAY), settings)) == [("no-public-bind", "api2")]
    settings = args.of_raw(exempt(resource=OPEN.urn))
    assert not list(unneeded(judge([OPEN], settings, TODAY), settings))


def test_a_finding_about_the_stack_is_exempt_under_the_name_stack() -> None:
    stack = EXAMPLES["host-has-filter"].bad[0]
    settings = args.of_raw(exempt(policy="host-has-filter", resource="stack"))
    assert [one.exempt for one in judge(stack, settings, TODAY)] == [True]
