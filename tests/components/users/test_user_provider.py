"""The providers of `User` and `Administrators`: checks, reads, and the login that confirms a change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pulumi.output import Unknown

from portcullis.components.users.facts import PRIVATE, UserFacts
from portcullis.components.users.resource.administrators import AdministratorsProvider
from portcullis.components.users.resource.user import UserProvider
from portcullis.host.connections import Connection, write_ssh_config
from portcullis.host.provider import ABSENT
from portcullis.host.session import Login

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.canned import CannedChannel

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO2q8YREHwHGm/XQKhkVbx8c7BWkBJUW+xFGrlQUqG8U"
URN = "urn:pulumi:lab::portcullis::portcullis:index:User::deploy"
USER = {
    "host": "web1", "managed_by": URN, "user": "deploy", "keys": {"laptop": KEY}, "sudo": True,
    "shell": "/bin/bash", "on_delete": "keep", "key_files": "private", "password": "none",
}  # fmt: skip
ROOT = {key: value for key, value in USER.items() if key not in ("sudo", "shell", "password")} | {
    "user": "root"
}
FACTS = {"exists": True, "keys": {"laptop": KEY}, "key_files": "private", "password": "none", "sudo": True}


def faults(provider: Any, news: dict[str, Any]) -> dict[str, str]:
    return {failure.property: failure.reason for failure in provider.check({}, news).failures}


def test_check_does_not_change_valid_inputs() -> None:
    checked = UserProvider().check({}, {**USER, "keys": {"laptop": f" {KEY}\n".rstrip("\n")}})
    assert (checked.failures, checked.inputs) == ([], USER)
    checked = UserProvider().check({}, ROOT)
    assert (checked.failures, checked.inputs) == ([], ROOT)


def test_check_reports_every_fault_at_once() -> None:
    found = faults(UserProvider(), {
        **USER, "user": "Deploy Me", "shell": "bash", "on_delete": "burn", "groups": {"-x": "member"},
        "keys": {
            "a b": KEY, "twice": KEY, "private": "-----BEGIN OPENSSH PRIVATE KEY-----",
            "two": f"{KEY}\n{KEY}",
        },
    })  # fmt: skip
    assert set(found) == {
        "user", "shell", "on_delete", "groups", "keys", "keys.twice", "keys.private", "keys.two",
    }  # fmt: skip
    assert "BEGIN" not in str(found)


def test_root_needs_no_sudo_and_cannot_be_removed() -> None:
    assert set(faults(UserProvider(), {**ROOT, "sudo": True, "on_delete": "remove"})) == {"sudo", "on_delete"}


@pytest.mark.parametrize("keys", [Unknown(), {"laptop": Unknown()}])
def test_keys_may_come_from_a_resource_that_does_not_exist_yet(keys: Any) -> None:
    assert faults(UserProvider(), {**USER, "keys": keys}) == {}


def test_a_read_returns_the_managed_properties(canned: Callable[..., CannedChannel]) -> None:
    facts = {**FACTS, "keys": {"laptop": KEY, "SHA256:x": "ssh-ed25519 AAAA mallory"}, "sudo": False}
    channel = canned(lambda _, asked: {"items": [{**item, "facts": facts} for item in asked["items"]]})
    found = UserProvider().read("web1:deploy", USER)
    assert found.inputs == {**USER, **{key: facts[key] for key in ("keys", "sudo")}}
    ((_, asked),) = channel.sent
    assert asked["items"][0]["spec"] == {
        "user": "deploy", "keys": {"laptop": KEY}, "managed": ["password", "shell", "sudo"],
    }  # fmt: skip


def test_a_missing_account_is_drift(canned: Callable[..., CannedChannel]) -> None:
    canned(lambda _, asked: {"items": [{**item, "facts": {"exists": False}} for item in asked["items"]]})
    assert UserProvider().read("web1:deploy", USER).inputs == {**USER, "keys": {}, "key_files": ABSENT}


@pytest.mark.parametrize("provider", [UserProvider(), AdministratorsProvider()])
def test_the_login_that_confirms_is_the_declared_users(
    provider: Any, canned: Callable[..., CannedChannel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first deploy, root logs in. A later login of root proves nothing about the declared user."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    hosts = {"web1": Connection("192.0.2.1", user="deploy", host_key=KEY, bootstrap_user="root")}
    write_ssh_config(hosts, stack="lab", project=tmp_path)
    channel = canned(lambda _, __: {"facts": {}, "steps": [], "guard": "1f"})
    provider.create({**USER, "users": {"deploy": "declared"}, "files": {}})
    (put, asked), (confirm, login) = channel.sent
    assert (put, confirm, login["login"]) == ("put", "confirm", Login(declared=True))
    assert asked["desired"]["login"] == "deploy"
    if isinstance(provider, AdministratorsProvider):
        assert asked["spec"] == {"users": ["deploy"], "files": [], "login": "deploy"}


def test_undeclared_ways_to_become_root_are_read_back(canned: Callable[..., CannedChannel]) -> None:
    facts = {"exists": True, "undeclared": {"group docker: bob": "member"}}
    canned(lambda _, asked: {"items": [{**item, "facts": facts} for item in asked["items"]]})
    props = {"host": "web1", "managed_by": URN, "users": {}, "files": {}, "undeclared": {}}
    assert AdministratorsProvider().check({}, props).inputs == props
    assert AdministratorsProvider().read("web1:administrators", props).inputs == {
        **props, "undeclared": {"group docker: bob": "member"},
    }  # fmt: skip


def test_sessions_are_read_back_and_cannot_be_declared_for_root() -> None:
    news = {**USER, "sessions": "current"}
    assert UserProvider().check({}, news).inputs["sessions"] == "current"
    assert "sessions" in UserProvider().item(news).spec["managed"]
    facts = UserFacts(exists=True, key_files=PRIVATE, sessions="from before the keys changed")
    assert UserProvider().live_inputs(facts) == {
        "keys": {}, "key_files": PRIVATE, "sessions": "from before the keys changed",
    }  # fmt: skip
    assert set(faults(UserProvider(), {**ROOT, "sessions": "current"})) == {"end_sessions"}
