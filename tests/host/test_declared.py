"""The properties of a kind are declared once: what a declaration makes of inputs and classes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping  # noqa: TC003 - the declaration reads its annotations
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from pulumi._types import resource_types
from pulumi.output import UNKNOWN

from portcullis.agent import wire
from portcullis.agent.declared import (
    DERIVED,
    MODE,
    PATH,
    TEXT,
    Asked,
    Declaration,
    DeclaredDesired,
    DeclaredSpec,
    Prop,
    ReadBack,
    own,
    prop,
)
from portcullis.host.provider import HostProvider
from portcullis.host.resource import DeclaredResource
from portcullis.resources.sysctl.facts import SysctlSpec
from tests.recording_engine import declare

PASSWORD = "correct horse"


class ToyProps(Declaration, adopt="whether to take over a toy."):
    path: Asked[str] = prop(form=PATH, identity=True)
    """absolute path."""
    words: Asked[Mapping[str, str]] = prop()
    """words by name."""
    mode: Prop[str] = prop(default="0644", form=MODE)
    """permission bits."""
    content: Prop[str | None, str] = prop(default=DERIVED, form=PATH, secret=True)
    """a path that nobody else may see."""
    note: Prop[str] = prop(default="", secret=True)
    """a text that may be empty."""
    then: Prop[Literal["keep", "remove"]] = prop(default="keep")
    """keep or remove."""
    label: Prop[str | None] = prop(default=None, omit=True)
    """a label."""
    owner: Prop[str] = own(want="root", form=TEXT)
    """user name."""
    count: Prop[int] = prop(default=1)
    """how many."""
    kept: Prop[Literal["yes"]] = prop(default="yes")
    """a single word."""
    stale: ReadBack[bool] = own(want=False)
    """whether the toy is stale."""


class ToySpec(ToyProps, DeclaredSpec):
    """The toy to read."""


class ToyDesired(ToyProps, DeclaredDesired):
    """The toy as declared."""

    spec_type = ToySpec


@dataclass(frozen=True)
class ToyFacts(wire.Facts):
    mode: str = ""
    owner: str = ""
    stale: bool = False


class ToyProvider(HostProvider):
    kind = "toy"
    desired_type = ToyDesired
    facts_type = ToyFacts

    def absent_inputs(self) -> dict[str, Any]:
        return {}


class Toy(ToyProps, DeclaredResource):
    """A toy."""

    provider_type = ToyProvider

    def derived(self, given: ToyProps) -> dict[str, Any]:
        return {"content": given.content or "/made"}


INPUTS = {
    "host": "web1", "managed_by": "urn:pulumi:lab::web::x::it", "path": "/a", "words": {}, "mode": "0600",
    "content": "/text", "note": "", "then": "keep", "owner": "root", "count": 1, "kept": "yes",
    "stale": False,
}  # fmt: skip


def faults(**changes: Any) -> list[str]:
    """Return the faults of a toy whose inputs are right, but for some changes."""
    return [
        f"{one.property}: {one.reason}" for one in ToyProvider().check({}, {**INPUTS, **changes}).failures
    ]


def checked(**changes: Any) -> dict[str, Any]:
    """Return the inputs of a toy after the check, without those that did not change."""
    result = ToyProvider().check({}, {**INPUTS, **changes})
    assert not result.failures
    return {key: value for key, value in result.inputs.items() if INPUTS.get(key) != value}


def test_right_inputs_stay_as_they_are() -> None:
    assert ToyProvider().check({}, INPUTS).inputs == INPUTS
    assert checked(mode=600) == {}


def test_an_empty_mode_is_a_fault() -> None:
    """An empty text with zeros on the left would be a valid mode, 0000."""
    assert faults(mode="") == ["mode: must be a text, not ''"]


def test_an_empty_text_is_a_fault_unless_the_property_has_no_form() -> None:
    assert faults(owner="") == ["owner: must be a text, not ''"]
    assert faults(content="") == ["content: must be a text"]
    assert faults(note="") == []


@pytest.mark.parametrize("name", ["content", "note"])
def test_no_fault_quotes_a_secret(name: str) -> None:
    found = faults(**{name: [PASSWORD]})
    assert found == [f"{name}: must be a text"]


def test_the_fault_of_a_form_does_not_quote_a_secret() -> None:
    assert faults(content=PASSWORD) == ["content: has the wrong form; a secret is not shown"]


def test_a_value_that_the_constructor_sets_is_checked_and_not_overwritten() -> None:
    assert faults(owner=[]) == ["owner: must be a text, not []"]
    assert checked(owner="ann") == {"owner": "ann"}


def test_a_value_that_only_the_host_reports_is_no_input_of_a_program() -> None:
    """A refresh stores the host's value among the inputs, and the next check replaces it."""
    assert checked(stale=True) == {}


def test_each_missing_input_is_a_fault() -> None:
    needed = {*INPUTS} - {"managed_by", "stale"}
    for name in needed:
        given = {key: value for key, value in INPUTS.items() if key != name}
        (failure,) = ToyProvider().check({}, given).failures
        assert failure.property == name


def test_unknown_inputs_are_no_faults() -> None:
    unknown = {name: UNKNOWN for name in INPUTS if name not in ("managed_by", "stale")}
    assert faults(**unknown, label=UNKNOWN) == []


def test_what_the_provider_derives() -> None:
    assert ToyProvider.live == ("mode", "owner", "stale")
    assert ToyProvider.identity == ("host", "path")
    assert ToyProvider.secrets == ("content", "note")


def test_the_host_gets_what_it_needs() -> None:
    desired = ToyProvider().desired(INPUTS)
    assert "/text" not in repr(desired)
    assert desired.id == "/a"
    assert wire.encode(desired.spec()) == {"path": "/a", "words": {}}
    without = ("host", "managed_by", "stale")
    assert wire.encode(desired) == {key: value for key, value in INPUTS.items() if key not in without}


def test_the_constructor_has_the_declared_arguments() -> None:
    arguments = list(inspect.signature(Toy).parameters)
    own_arguments = ["path", "words", "mode", "content", "note", "then", "label", "count", "kept"]
    assert arguments == ["name", "host", *own_arguments, "adopt", "opts"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({}, "Toy: missing a required .*'path'"),
        ({"path": "/a"}, "Toy: missing a required .*'words'"),
        ({"path": "/a", "words": {}, "owner": "ann"}, "Toy: .*unexpected keyword argument 'owner'"),
    ],
)
def test_a_wrong_argument_of_the_constructor_is_named(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(TypeError, match=told):
        Toy("it", host="web1", **wrong)


def test_pulumi_knows_the_types_of_outputs() -> None:
    """Pulumi has only floats. By the type, it makes a whole number of them."""
    assert resource_types(Toy)["count"] is int


def test_the_constructor_declares_values_and_marks_secrets() -> None:
    engine = declare(lambda: Toy("it", host="web1", path="/a", words={"b": "c"}), preview=False)
    (one,) = engine.declared
    assert one.secret == {"content", "note"}
    assert one.inputs == {
        "host": "web1", "path": "/a", "words": {"b": "c"}, "mode": "0644", "content": "/made", "note": "",
        "then": "keep", "owner": "root", "count": 1, "kept": "yes", "stale": False,
    }  # fmt: skip


def test_what_is_left_out_when_empty_needs_an_empty_default() -> None:
    with pytest.raises(TypeError, match="empty or false default"):
        prop(default=True, omit=True)


def test_an_identity_is_always_sent() -> None:
    with pytest.raises(wire.Malformed, match="path is missing"):
        wire.decode(SysctlSpec, {"values": {}})


def test_a_type_that_is_no_role_is_refused_when_the_module_loads() -> None:
    with pytest.raises(TypeError, match=r"Wrong.path: str is none of Prop, Asked"):

        class Wrong(Declaration):
            path: str = prop()
