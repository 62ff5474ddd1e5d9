from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from pulumi.output import Unknown

from portcullis.components.redis import render
from portcullis.components.redis.facts import DECLARED, TRUSTED, RedisUserFacts
from portcullis.components.redis.on_host.redis_users import RedisUsers
from portcullis.components.redis.resource import RedisUser, RedisUserProvider
from tests.host.test_provider import URN, survey_answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.canned import CannedChannel
    from tests.recording_engine import Deploy

PASSWORD = "x" * 40
GIVEN = {
    "host": "web1", "managed_by": URN, "acl": "/etc/portcullis/redis/users.acl", "user": "app-1",
    "address": "172.17.0.1:6379", "container": "redis", "ops": "/etc/portcullis/secrets/redis/ops",
    "password": PASSWORD, "rules": render.APP_RULES, "gid": "999",
}  # fmt: skip
PROPS = {**GIVEN, "line": "as declared", "running": "as declared"}
KEPT = {
    "keeper": True, "default": "off, no password, no rights", "undeclared": {}, "file": "0:999 0640"
}  # fmt: skip


def faults(**changes: Any) -> list[str]:
    return [f"{f.property}: {f.reason}" for f in RedisUserProvider().check({}, {**GIVEN, **changes}).failures]


def test_check_normalises_rules() -> None:
    checked = RedisUserProvider().check({}, {**GIVEN, "rules": "  ~*   +@all "})
    assert checked.failures == []
    assert checked.inputs == {**PROPS, "rules": "~* +@all"}
    assert RedisUserProvider().check({}, {**GIVEN, "keeper": True}).inputs == {**PROPS, **KEPT}


def test_the_inputs_of_a_keeper_equal_what_the_agent_compares_with() -> None:
    desired = RedisUserProvider().desired({**PROPS, **KEPT})
    told = {name: held for name, held in KEPT.items() if name != "keeper"}
    facts = RedisUserFacts(exists=True, line=DECLARED, running=DECLARED, **told)
    assert RedisUsers.plan(None, desired, facts) == []  # type: ignore[arg-type]


def test_a_repr_shows_neither_password_nor_hash() -> None:
    desired = RedisUserProvider().desired(PROPS)
    shown = f"{desired} {desired.spec()}"
    assert PROPS["user"] in shown
    assert PASSWORD not in shown
    assert desired.spec().hash not in shown


@pytest.mark.parametrize(
    "rules", [render.APP_RULES, render.OPS_RULES, "%R~log:* allchannels +get|x nocommands"]
)
def test_our_rules_are_accepted(rules: str) -> None:
    assert faults(rules=rules) == []


@pytest.mark.parametrize(
    "word", ["on", "off", "nopass", ">pw", "#ab", "reset", "resetpass", "(~* +get)", "~"]
)
def test_words_for_state_and_passwords_are_refused_as_rules(word: str) -> None:
    assert "is not a rule for keys, channels or commands" in faults(rules=f"~* {word}")[0]


def test_impossible_users_are_refused() -> None:
    assert "default is the user of every client" in faults(user="default")[0]
    assert "is not a name for a user" in faults(user="a b")[0]
    assert "20 printable characters" in faults(password="short")[0]
    assert "20 printable characters" in faults(password="with space" * 5)[0]
    assert "too-small" not in str(faults(password="too-small"))
    assert "is not an address with its port" in faults(address="redis")[0]
    assert "is not the name of a container" in faults(container="../redis")[0]
    assert "is not an absolute path" in faults(acl="users.acl")[0]


def test_a_user_with_an_unknown_name_is_created_before_the_old_one_is_removed() -> None:
    for user in ("app-2", Unknown()):
        found = RedisUserProvider().diff("x", PROPS, {**PROPS, "user": user})
        assert (found.changes, found.replaces, found.delete_before_replace) == (None, ["user"], False)
    assert RedisUserProvider().diff("x", PROPS, {**PROPS, "rules": "~* +get"}).replaces == []


def test_the_host_gets_a_hash_only_and_a_refresh_reads_what_differs(
    canned: Callable[..., CannedChannel],
) -> None:
    live = {"line": "as declared", "running": "on (another password) ~* &* +@all"}
    channel = canned(survey_answer({"exists": True, **live, "revision": "1"}))
    found = RedisUserProvider().read("x", PROPS)
    assert found.inputs == {**PROPS, **live}
    spec = channel.sent[0][1]["items"][0]["spec"]
    assert spec["hash"] == hashlib.sha256(PASSWORD.encode()).hexdigest()
    assert PASSWORD not in str(channel.sent)


def test_a_refresh_reads_an_invalid_certificate_and_a_valid_one_again(
    canned: Callable[..., CannedChannel],
) -> None:
    ca = "/etc/portcullis/secrets/redis/ca.crt"
    props = RedisUserProvider().check({}, {**GIVEN, "ca": ca}).inputs
    assert props["certificate"] == TRUSTED
    for said in ("certificate has expired", "trusted"):
        facts = {"exists": True, "line": "as declared", "running": "as declared", "certificate": said}
        canned(survey_answer(facts))
        found = RedisUserProvider().read("x", {**props, "certificate": "something else"})
        assert found.inputs == {**props, "certificate": said}


def test_a_missing_user_shows_as_absent(canned: Callable[..., CannedChannel]) -> None:
    canned(survey_answer({"exists": False}))
    found = RedisUserProvider().read("x", PROPS)
    assert found.inputs == {**PROPS, "line": "<absent>", "running": "<absent>"}


def test_a_plain_password_becomes_a_secret(deploy: Deploy) -> None:
    engine = deploy(
        lambda: RedisUser(
            "ops",
            host="web1",
            acl="/etc/redis/users.acl",
            address="172.17.0.1:6379",
            container="redis",
            ops="/etc/redis/ops",
            user="ops",
            password=PASSWORD,
            rules="+@all",
        )
    )
    assert engine.one(":RedisUser").secret == {"password"}
