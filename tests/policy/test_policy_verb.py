"""The command `portcullis policy`: its output and exit codes."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from tests.policy.policy_stack import lab

if TYPE_CHECKING:
    from pathlib import Path

    from tests.policy.policy_stack import Checkout

SOON = (dt.datetime.now(dt.UTC).date() + dt.timedelta(days=30)).isoformat()
REASON = "Behind a proxy of the provider's, which ends TLS."


def plain_site(tmp_path: Path, policy: dict[str, Any]) -> dict[str, Any]:
    config = lab(tmp_path)
    config["portcullis:sites"]["shop.example.com"]["tls"] = "none"
    return config | {"portcullis:policy": policy}


def exempt(resource: str, until: str) -> dict[str, Any]:
    return {"exempt": {"site-has-tls": {resource: {"reason": REASON, "until": until}}}}


def test_an_exempt_finding_is_listed_and_stops_nothing(checkout: Checkout, tmp_path: Path) -> None:
    done = checkout.check(plain_site(tmp_path, exempt("web1-nginx-shop.example.com", SOON)))
    assert done.returncode == 0, done.stdout + done.stderr
    shown, reason, summary = done.stdout.splitlines()
    assert shown == (
        "exempt site-has-tls: web1-nginx-shop.example.com: serves the site shop.example.com without TLS"
    )
    assert reason == f"       until {SOON}: {REASON}"
    assert summary.endswith(" resources checked: 0 stop the stack, 0 warn, 1 exempt.")


def test_a_finding_stops_the_stack_after_its_exemption_ended(checkout: Checkout, tmp_path: Path) -> None:
    done = checkout.check(plain_site(tmp_path, exempt("web1-nginx-shop.example.com", "2020-01-31")))
    assert done.returncode == 1
    assert done.stdout.startswith("stop   site-has-tls\n")
    assert f'The exemption "{REASON}" ended on 2020-01-31' in " ".join(done.stdout.split())


def test_a_warning_stops_nothing(checkout: Checkout, tmp_path: Path) -> None:
    policy = {"severity": {"site-has-tls": "warn"}, **exempt("shop", SOON)}
    done = checkout.check(plain_site(tmp_path, policy))
    assert done.returncode == 0
    assert done.stdout.startswith("warn   site-has-tls\n")
    assert "note   site-has-tls: the exemption of shop is not needed" in done.stdout
    assert "note   site-has-tls: the settings make it warn; the default is stop\n" in done.stdout
    assert done.stdout.endswith(": 0 stop the stack, 1 warn, 0 exempt.\n")


def test_a_policy_that_is_off_is_listed(checkout: Checkout, tmp_path: Path) -> None:
    done = checkout.check(plain_site(tmp_path, {"severity": {"site-has-tls": "off", "hsts-floor": "stop"}}))
    assert done.returncode == 0
    note, summary = done.stdout.splitlines()
    assert note == "note   site-has-tls: the settings make it off; the default is stop"
    assert summary.endswith(": 0 stop the stack, 0 warn, 0 exempt.")


def test_an_error_in_the_program_is_one_line_without_a_verdict(checkout: Checkout, tmp_path: Path) -> None:
    checkout.write("__main__.py", 'import pulumi\n\n{}["hunter2"]\n')
    done = checkout.check(lab(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: the policies were not checked: KeyError in __main__.py, line 3\n"


def test_an_error_in_a_policy_is_one_line_without_a_verdict(checkout: Checkout, tmp_path: Path) -> None:
    checkout.edit("policy/secrets.py", "    if resource.is_container():\n", "    if 1 / 0:\n")
    done = checkout.check(lab(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    cause = "ZeroDivisionError in policy/secrets.py, line "
    assert done.stderr.startswith(f"error: the policies were not checked: {cause}")
    assert done.stderr.count("\n") == 1


def test_settings_with_faults_are_not_checked(checkout: Checkout, tmp_path: Path) -> None:
    done = checkout.check(plain_site(tmp_path, {"severity": {"site-tls": "warn"}}))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: the policies were not checked: The settings of this stack have a fault:\n"
        '  portcullis:policy.severity.site-tls: "site-tls" is not a policy; did you mean site-has-tls?\n'
    )


def test_a_program_that_refuses_its_settings_is_not_checked(checkout: Checkout, tmp_path: Path) -> None:
    config = lab(tmp_path)
    config["portcullis:hosts"]["web1"]["os"] = "debian13"
    done = checkout.check(config)
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean debian-13?" in done.stderr
    assert done.stderr.endswith(
        "error: the policies were not checked: the Pulumi program refused the settings of the stack; the "
        "message of the program is above\n"
    )
    assert "Traceback" not in done.stderr
