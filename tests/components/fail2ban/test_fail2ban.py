"""Tests which options of fail2ban's jails are refused, and which resources the component declares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from portcullis.components import Fail2ban, Fail2banArgs
from portcullis.components.fail2ban import jail_options
from portcullis.components.fail2ban.facts import JailFacts
from portcullis.components.fail2ban.resource import Fail2banJail, Fail2banJailProvider
from portcullis.host import Host
from tests.previews import unknown_in

if TYPE_CHECKING:
    from tests.recording_engine import Deploy

URN = "urn:pulumi:lab::web::portcullis:index:Fail2banJail::jail"


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("maxretries", 3, "maxretries is not an option of a jail: did you mean maxretry?"),
        ("bantime.max", "8w", "did you mean bantime.maxtime?"),
        ("ignoreip", "192.0.2.1", "use the argument ignoreip="),
        ("dbpurgeage", "8w", "write it into fail2ban.local"),
        ("action", "%(action_mwl)s", "choose how to ban with banaction"),
        ("maxretry", 0, "0 is not a number"),
        ("maxretry", True, "True is not a number"),
        ("maxretry", "5 ; x", "is not a number"),
        ("findtime", "1 month", "is not a length of time"),
        ("bantime", -1, "is not a length of time"),
        ("bantime.increment", "yes", "is neither true nor false"),
        ("port", "22; drop", "is not a port"),
        ("backend", "journald", "is not auto, systemd, pyinotify or polling"),
        ("logpath", "error.log", "is not a path of log files"),
        ("logpath", [], "is not a path of log files"),
        ("filter", "%(known)s", "is not a filter"),
        ("journalmatch", "ssh.service", "is not fields of the journal"),
        ("banaction", "nftables\nenabled = false", "is not an action"),
    ],
)
def test_an_option_that_fail2ban_would_ignore_or_misread_is_refused(
    option: str, value: object, told: str
) -> None:
    texts, (fault,) = jail_options.options({option: value})
    assert texts == {}
    assert told in fault


def test_a_mode_together_with_a_filter_is_refused() -> None:
    _, (fault,) = jail_options.options({"filter": "sshd", "mode": "aggressive"})
    assert fault == "mode has no effect together with filter: write filter = sshd[mode=aggressive]"


def test_every_fault_is_reported() -> None:
    _, faults = jail_options.options({"maxretries": 3, "bantime": "x", "findtime": "10m"})
    assert len(faults) == 2


@pytest.mark.parametrize(
    ("text", "count"),
    [("600", 600), (600, 600), ("10m", 600), ("12h", 43200), ("7d", 604800), ("8w", 4838400)],
)
def test_lengths_of_time_are_seconds(text: str | int, count: int) -> None:
    assert jail_options.seconds(text) == count
    assert jail_options.options({"bantime": text}) == ({"bantime": str(count)}, [])


def test_addresses_have_the_spelling_that_fail2ban_prints() -> None:
    given = ["203.0.113.7/32", "10.1.2.3/8", "2001:DB8:0::1", "203.0.113.7", "::1"]
    assert jail_options.ignored(given) == ["127.0.0.0/8", "::1", "10.0.0.0/8", "2001:db8::1", "203.0.113.7"]
    for bad in ("example.com", "203.0.113.7 203.0.113.8", "0.0.0.0/0"):
        with pytest.raises(ValueError, match=bad.split("/", maxsplit=1)[0]):
            jail_options.ignored([bad])


@pytest.mark.parametrize("name", ["DEFAULT", "ssh d", "../x", "", "sshd]", "INCLUDES"])
def test_an_invalid_name_of_a_jail_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not a name for a jail"):
        jail_options.jail_path(name)


def checked(**news: Any) -> Any:
    given = {
        "host": "web1", "managed_by": URN, "jail": "sshd", "enabled": True, "options": {"maxretry": "5"},
        "ignoreip": {"::1": "never banned"}, "path": "/x", "content": "x", "overridden": {},
    }  # fmt: skip
    return Fail2banJailProvider().check({}, {**given, **news})


def test_check_refuses_what_the_constructor_let_through() -> None:
    assert checked().failures == []
    assert checked().inputs["overridden"] == {}
    failures = checked(options={"maxretries": 3}, jail="DEFAULT", ignoreip={"x": ""}).failures
    assert [failure.property for failure in failures] == ["jail", "options", "ignoreip"]


def test_facts_have_the_same_form_as_inputs() -> None:
    provider = Fail2banJailProvider()
    inputs = checked().inputs
    facts = {
        "exists": True, "content": "x", "enabled": True, "options": {"maxretry": "5"},
        "ignoreip": {"::1": "never banned"}, "overridden": {}, "enforced": True, "revision": "7",
        "broken": "", "undeclared": {}, "fixes": {},
    }  # fmt: skip
    assert {**inputs, **provider.live_inputs(JailFacts(**facts))} == inputs
    assert set(provider.absent_inputs()) <= set(inputs)
    spec = {"jail": "sshd", "options": {"maxretry": "5"}, "whole": False, "accepted": []}
    assert provider.item(inputs).spec == spec


def component(*, adopt: bool = False, ssh_port: int = 22, **args: Any) -> Fail2ban:
    host = Host("web1", adopt=adopt)
    return Fail2ban("web1-fail2ban", Fail2banArgs(**args), host=host, ssh_port=ssh_port)


def test_the_component_starts_a_server_without_jails_and_then_its_jail(deploy: Deploy) -> None:
    engine = deploy(component)
    assert engine.one(":Packages").inputs["packages"] == dict.fromkeys(
        ["fail2ban", "nftables", "python3-systemd"], "installed"
    )
    assert [(r.name, r.inputs["path"]) for r in engine.of(":File")] == [
        ("web1-fail2ban-defaults", "/etc/fail2ban/jail.d/zz-portcullis.conf"),
        ("web1-fail2ban-server", "/etc/fail2ban/fail2ban.local"),
    ]
    assert all(r.inputs["test"] == ["fail2ban-client", "-t"] for r in engine.of(":File"))
    assert "[sshd]\nenabled = false" in engine.one(":File", "web1-fail2ban-defaults").inputs["content"]
    assert engine.one(":Service").inputs["unit"] == "fail2ban.service"
    # On Debian 12 the test fails until the defaults have switched the packaged jail off.
    assert "web1-fail2ban-defaults" in engine.before("web1-fail2ban-server")
    assert engine.before("web1-fail2ban-service") >= {"web1-fail2ban-server", "web1-fail2ban-packages"}
    assert "web1-fail2ban-service" in engine.before("web1-fail2ban-sshd")


def test_the_jail_of_the_component(deploy: Deploy) -> None:
    engine = deploy(lambda: component(ssh_port=2222, ignore=("203.0.113.7",)))
    jail = engine.one(":Fail2banJail").inputs
    assert jail["jail"] == "sshd"
    assert jail["path"] == "/etc/fail2ban/jail.d/zz-portcullis-sshd.local"
    assert jail["options"] == {
        "filter": "sshd[mode=aggressive]",
        "backend": "systemd",
        "journalmatch": "_SYSTEMD_UNIT=ssh.service _UID=0 + _COMM=sshd _UID=0 + _COMM=sshd-session _UID=0",
        "port": "2222",
        "banaction": "nftables",
        "maxretry": "5",
        "findtime": "600",
        "bantime": "604800",
        "bantime.increment": "true",
        "bantime.maxtime": "4838400",
    }
    assert set(jail["ignoreip"]) == {"127.0.0.0/8", "::1", "203.0.113.7"}
    assert "adopt" not in jail


def test_only_entries_of_root_count_as_failed_logins() -> None:
    """journald records which user wrote an entry, but any user can choose the name of the process."""
    ways = jail_options.SSH_JOURNAL.split(" + ")
    assert len(ways) == 3
    assert all("_UID=0" in way.split() for way in ways)


def test_no_ban_is_shorter_than_the_first_one(deploy: Deploy) -> None:
    options = deploy(lambda: component(ban_time="9w")).one(":Fail2banJail").inputs["options"]
    assert options["bantime.maxtime"] == options["bantime"] == "5443200"


def test_adopt_reaches_the_jail_and_the_files(deploy: Deploy) -> None:
    engine = deploy(lambda: component(adopt=True))
    assert all(
        r.inputs.get("adopt") is True
        for kind in (":File", ":Service", ":Fail2banJail")
        for r in engine.of(kind)
    )


def test_a_misspelt_option_reaches_the_check_but_not_the_file(deploy: Deploy) -> None:
    def program() -> None:
        Fail2banJail("jail", host="web1", jail="web", options={"maxretries": 3}, ignoreip=["x"])

    inputs = deploy(program).one(":Fail2banJail").inputs
    assert inputs["content"] == ""
    assert inputs["options"] == {"maxretries": 3}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"max_retry": 0, "find_time": 0}, "Fail2banArgs.max_retry: .*\nFail2banArgs.find_time: "),
        ({"ignore": ("example.com",)}, "Fail2banArgs.ignore"),
        ({"ban_time": "1 week"}, "Fail2banArgs.ban_time: "),
    ],
)
def test_arguments_are_checked_where_they_are_made(args: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Fail2banArgs(**args)


def test_an_invalid_port_is_refused(deploy: Deploy) -> None:
    with pytest.raises(ValueError, match=r"Fail2ban\.ssh_port: 0 is not a port; write a number from 1"):
        deploy(lambda: component(ssh_port=0))


def test_a_preview_has_no_unknown_inputs() -> None:
    assert unknown_in(lambda: component(ssh_port=2222, ignore=("203.0.113.7",), adopt=True)) == set()


def test_one_address_cannot_bring_a_second_one() -> None:
    with pytest.raises(ValueError, match="is not an address or network"):
        jail_options.ignored(["fe80::1%eth0 203.0.113.7"])
