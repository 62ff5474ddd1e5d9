"""The data classes that agent and provider exchange do not change on the way to JSON and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence  # noqa: TC003 - `decode` needs them
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from portcullis.agent.wire import Facts, Malformed, decode, encode


@dataclass(frozen=True)
class Rule:
    port: int
    sources: Sequence[str] = ()


@dataclass(frozen=True)
class Everything:
    name: str
    count: int = 0
    share: float = 0.5
    on: bool = False
    note: str | None = None
    how: Literal["fast", "slow"] = "fast"
    rules: Mapping[str, Rule] = field(default_factory=dict)
    words: Sequence[str] = ()
    loose: Any = None


WHOLE = Everything(
    "a",
    3,
    1.0,
    on=True,
    note="n",
    how="slow",
    rules={"ssh": Rule(22, ("::1",))},
    words=("x",),
    loose={"y": [1]},
)


def test_decoded_data_equal_the_encoded_data() -> None:
    assert decode(Everything, encode(WHOLE)) == WHOLE
    assert decode(Everything, encode(Everything("a"))) == Everything("a")


def test_a_whole_number_that_arrives_as_a_float_becomes_an_int() -> None:
    assert decode(Everything, {"name": "a", "count": 3.0}).count == 3
    assert type(decode(Everything, {"name": "a", "count": 3.0}).count) is int
    assert decode(Everything, {"name": "a", "share": 1}).share == 1.0


def test_a_field_that_is_none_is_not_sent() -> None:
    assert "note" not in encode(Everything("a"))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({}, "the field name is missing"),
        ({"name": None}, "the field name is missing"),
        ({"name": "a", "colour": "red"}, "the field colour is unknown to Everything"),
        ({"name": 3}, "the field name has a value of the wrong type"),
        ({"name": "a", "count": 3.5}, "the field count has a value of the wrong type"),
        ({"name": "a", "count": True}, "the field count has a value of the wrong type"),
        ({"name": "a", "on": 1}, "the field on has a value of the wrong type"),
        ({"name": "a", "how": "other"}, "the field how has a value of the wrong type"),
        ({"name": "a", "words": "xyz"}, "the field words has a value of the wrong type"),
        ({"name": "a", "words": [1]}, "the field words[0] has a value of the wrong type"),
        (
            {"name": "a", "rules": {"ssh": {"port": "22"}}},
            "the field rules.ssh.port has a value of the wrong type",
        ),
        ({"name": "a", "rules": {"ssh": {}}}, "the field rules.ssh.port is missing"),
        ([], "the value of Everything is not a JSON object"),
    ],
)
def test_an_error_names_the_field_and_not_its_value(data: Any, said: str) -> None:
    with pytest.raises(Malformed) as caught:
        decode(Everything, data)
    assert str(caught.value) == said


@dataclass(frozen=True)
class Door(Facts):
    colour: str = ""


@dataclass(frozen=True)
class Seen(Door):
    behind: str = ""


def test_fields_of_a_subclass_are_not_sent() -> None:
    assert encode(Seen(exists=True, colour="red", behind="a cat"), Door) == {
        "exists": True,
        "revision": "",
        "colour": "red",
    }


def test_an_existing_resource_must_have_all_fields() -> None:
    with pytest.raises(Malformed, match="colour is missing"):
        decode(Door, {"exists": True})
    assert decode(Door, {"exists": False}) == Door(exists=False)


def test_an_absent_resource_sends_only_values_that_differ_from_defaults() -> None:
    assert encode(Seen(exists=False), Door) == {"exists": False}
    assert encode(Door(exists=False, colour="red"), Door) == {"exists": False, "colour": "red"}
