"""The provider of the SSH server changes the port in two confirmed commits: each stays only after a login."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.components.ssh.facts import SshServerFacts
from portcullis.components.ssh.resource import SshServerProvider
from portcullis.host.connections import Connection, pinned_key_type, write_ssh_config
from portcullis.host.errors import HostError
from portcullis.host.session import Login

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.canned import CannedChannel

URN = "urn:pulumi:lab::portcullis::portcullis:index:SshServer::ssh"
OPTIONS = {"MaxAuthTries": "3"}
FACTS = {
    "exists": True, "content": "Port 2222\n", "mode": "0600", "options": OPTIONS, "broken": "",
    "port": "2222", "ports": ["2222"], "ports_before": ["22"], "firewall": {"2222": "allow"}, "stale": False,
    "owner": URN, "undeclared": {}, "fixes": {},
}  # fmt: skip


def props(port: str = "2222", **more: Any) -> dict[str, Any]:
    return {
        "host": "web1", "managed_by": URN, "content": f"Port {port}\n", "options": OPTIONS, "port": port,
        "login": "deploy", "mode": "0600", "config": "valid", "stale": False,
        "firewall": {port: "allow"}, "undeclared": {}, "accepted": {}, **more,
    }  # fmt: skip


def answering(**facts: Any) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    def answer(op: str, arguments: dict[str, Any]) -> dict[str, Any]:
        del arguments
        if op in ("plan", "put"):
            return {"facts": {**FACTS, "users": {}, **facts}, "steps": [], "guard": "g1"}
        return {"done": "removed", "guard": "g2"} if op == "remove" else {}

    return answer


def told(channel: CannedChannel) -> list[tuple[Any, ...]]:
    """The requests to the host: each operation with the ports that stay open, or with the login to check."""
    return [
        (op, *([arguments["desired"]["listen_also"]] if "desired" in arguments else []))
        if op != "confirm"
        else (op, arguments["login"])
        for op, arguments in channel.sent
    ]


def test_a_login_on_the_new_port_is_confirmed_before_the_old_port_closes(
    canned: Callable[..., CannedChannel],
) -> None:
    channel = canned(answering(ports=["22"]))
    SshServerProvider().create(props())
    assert told(channel) == [
        ("plan", []),
        ("put", ["22"]),
        ("confirm", Login(port=2222)),
        ("put", []),
        ("confirm", Login(port=2222)),
        ("reached",),
    ]


def test_without_a_new_port_one_commit_is_enough(canned: Callable[..., CannedChannel]) -> None:
    channel = canned(answering())
    SshServerProvider().create(props())
    assert told(channel) == [("plan", []), ("put", []), ("confirm", Login(port=2222)), ("reached",)]


def test_a_delete_moves_the_port_back_before_it_removes_the_server(
    canned: Callable[..., CannedChannel],
) -> None:
    channel = canned(answering())
    SshServerProvider().delete("id", props())
    assert told(channel) == [
        ("plan", []),
        ("put", ["22"]),
        ("confirm", Login(port=22)),
        ("remove", []),
        ("confirm", Login(port=22)),
        ("reached",),
    ]
    (put,) = [arguments for op, arguments in channel.sent if op == "put"]
    assert put["adopt"] is True


def test_a_server_with_another_owner_is_not_changed(canned: Callable[..., CannedChannel]) -> None:
    channel = canned(answering(owner=URN + "2"))
    SshServerProvider().delete("id", props())
    assert "put" not in [op for op, _ in channel.sent]


def test_drift_reads_back_by_option_and_port(canned: Callable[..., CannedChannel]) -> None:
    def answer(op: str, arguments: dict[str, Any]) -> dict[str, Any]:
        assert op == "survey"
        facts = {
            **FACTS,
            "users": {},
            "options": {"MaxAuthTries": "9 (x:1)"},
            "port": "2222 (not listening)",
            "firewall": None,
        }
        return {"items": [{**item, "facts": facts} for item in arguments["items"]]}

    canned(answer)
    found = SshServerProvider().read("web1:sshd", props()).inputs
    assert found == props(options={"MaxAuthTries": "9 (x:1)"}) | {"port": "2222 (not listening)"}


@pytest.mark.parametrize(
    ("changed", "prop"),
    [
        ({"port": "70000"}, "port"),
        ({"content": "Port 22\n"}, "content"),
        ({"content": "Port 2222\nPort 22\n"}, "content"),
        ({"options": {"Port": "22"}}, "options"),
        ({"options": {"Match": "all"}}, "options"),
        ({"login": "a b"}, "login"),
    ],
)
def test_faults(changed: dict[str, Any], prop: str) -> None:
    (failure,) = SshServerProvider().check({}, props(**changed)).failures
    assert failure.property == prop


def test_the_type_of_the_pinned_host_key(tmp_path: Path) -> None:
    config = tmp_path / "ssh_config"
    assert pinned_key_type(config, "web1") == ""
    (tmp_path / "known_hosts").write_text("web2 ssh-rsa AAAA\nweb1 ssh-ed25519 AAAA\n")
    assert pinned_key_type(config, "web1") == "ssh-ed25519"


def test_options_of_single_users_are_an_input_and_are_read_back() -> None:
    users = {"tunnel-alice": {"PermitOpen": "172.17.0.1:6379"}}
    provider = SshServerProvider()
    checked = provider.check({}, props(users=users))
    assert (checked.failures, checked.inputs["users"]) == ([], users)
    assert provider.item(props(users=users)).spec["users"] == users
    facts = SshServerFacts(**FACTS, users=users)
    assert provider.live_inputs(facts)["users"] == users
    for nobody in (props(), props(users={})):
        assert provider.item(nobody).spec["users"] == {}
    assert "users" not in provider.live_inputs(dataclasses.replace(facts, users={}))


def test_every_fault_in_options_of_single_users_is_reported() -> None:
    users = {"two words": {"MaxSessions": "0"}, "bob": {"Match": "all", "Max Sessions": "1", "PermitTTY": ""}}
    failures = SshServerProvider().check({}, props(users=users)).failures
    assert [failure.property for failure in failures] == ["users", "users.bob", "users.bob", "users.bob"]


def test_the_agent_gets_the_declared_login_and_the_pinned_key_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    provider = SshServerProvider()
    assert (provider.desired(props()).login, provider.desired(props()).pinned) == ("deploy", "")
    hosts = {"web1": Connection("192.0.2.1", user="alice", host_key="ssh-ed25519 AAAA")}
    write_ssh_config(hosts, stack="lab", project=tmp_path)
    desired = provider.desired(props())
    assert (desired.login, desired.spec().login, desired.pinned) == ("alice", "alice", "ssh-ed25519")


def test_the_port_is_read_from_a_text_that_a_refresh_left() -> None:
    found = props() | {"port": "22, 2222 (until sshd reads its files)"}
    assert SshServerProvider().desired(found).port == "22"


@pytest.mark.parametrize(
    ("port", "login"),
    [("2222, 22 (until sshd reads its files)", Login(port=2222)), ("<absent>", Login()), ("x", Login())],
)
def test_a_delete_works_after_a_refresh_that_found_no_plain_port(
    canned: Callable[..., CannedChannel], port: str, login: Login
) -> None:
    channel = canned(answering(ports_before=[]))
    SshServerProvider().delete("id", props() | {"port": port})
    assert told(channel) == [("plan", []), ("remove", []), ("confirm", login)]


def test_a_port_that_is_not_a_number_does_not_come_from_our_agent(
    canned: Callable[..., CannedChannel],
) -> None:
    canned(answering(ports_before=["/x"]))
    with pytest.raises(HostError, match="the port of the SSH server in the agent's answer is not a number"):
        SshServerProvider().delete("id", props())
