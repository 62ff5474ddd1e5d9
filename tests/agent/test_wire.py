"""What the two halves of a host resource exchange: data classes as JSON and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence  # noqa: TC003 - decoded by them
from dataclasses import dataclass, field
from typing import Any, Literal, Optional

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
    note: Optional[str] = None  # noqa: UP045 - as in facts, for Python 3.9
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


def test_what_is_sent_is_what_arrives() -> None:
    assert decode(Everything, encode(WHOLE)) == WHOLE
    assert decode(Everything, encode(Everything("a"))) == Everything("a")


def test_a_whole_number_that_arrives_as_a_float_is_one() -> None:
    assert decode(Everything, {"name": "a", "count": 3.0}).count == 3
    assert type(decode(Everything, {"name": "a", "count": 3.0}).count) is int
    assert decode(Everything, {"name": "a", "share": 1}).share == 1.0


def test_what_is_none_does_not_travel() -> None:
    assert "note" not in encode(Everything("a"))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({}, "name is missing"),
        ({"name": None}, "name is missing"),
        ({"name": "a", "colour": "red"}, "colour is unknown to Everything"),
        ({"name": 3}, "name is not of its type"),
        ({"name": "a", "count": 3.5}, "count is not of its type"),
        ({"name": "a", "count": True}, "count is not of its type"),
        ({"name": "a", "on": 1}, "on is not of its type"),
        ({"name": "a", "how": "other"}, "how is not of its type"),
        ({"name": "a", "words": "xyz"}, "words is not of its type"),
        ({"name": "a", "words": [1]}, "words[0] is not of its type"),
        ({"name": "a", "rules": {"ssh": {"port": "22"}}}, "rules.ssh.port is not of its type"),
        ({"name": "a", "rules": {"ssh": {}}}, "rules.ssh.port is missing"),
        ([], "Everything is no object"),
    ],
)
def test_a_fault_is_told_by_its_place_and_without_its_value(data: Any, said: str) -> None:
    with pytest.raises(Malformed) as caught:
        decode(Everything, data)
    assert str(caught.value) == said


@dataclass(frozen=True)
class Door(Facts):
    colour: str = ""


@dataclass(frozen=True)
class Seen(Door):
    behind: str = ""


def test_what_a_subclass_adds_stays_where_it_is() -> None:
    assert encode(Seen(exists=True, colour="red", behind="a cat"), Door) == {
        "exists": True,
        "revision": "",
        "colour": "red",
    }


def test_of_a_thing_that_is_there_everything_is_told() -> None:
    with pytest.raises(Malformed, match="colour is missing"):
        decode(Door, {"exists": True})
    assert decode(Door, {"exists": False}) == Door(exists=False)


def test_an_absent_thing_tells_only_what_is_not_as_usual() -> None:
    assert encode(Seen(exists=False), Door) == {"exists": False}
    assert encode(Door(exists=False, colour="red"), Door) == {"exists": False, "colour": "red"}
