"""In the agent's protocol, data arrive as they were sent. No line of a client ends the agent."""

from __future__ import annotations

import dataclasses
import io
import json
import tempfile
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.agent.machine import Machine
from portcullis.agent.main import Agent
from portcullis.agent.read_only import ReadOnly
from portcullis.agent.wire import Facts, Malformed, decode, encode
from portcullis.host.provider import HostProvider
from portcullis.provider.base import import_kinds, kinds
from portcullis.provider.changes import path_of
from portcullis.provider.values import from_struct, to_struct
from tests.fuzz.test_hostile_answers import sample
from tests.fuzz.texts import blobs, documents, per_kind, texts
from tests.on_host import STACK, URN, machine

import_kinds()
PROVIDERS = [kind for kind in kinds().values() if issubclass(kind, HostProvider)]
CLASSES = sorted({one for kind in PROVIDERS for one in (kind.facts_type, kind.desired_type)}, key=str)

__all__ = ["machine"]


# Bytes that are not text are sent as surrogates. Without this check, JSON would join two of them to one
# character.
WORDS = texts().map(lambda text: text.replace("\ud800", ""))


def a(hint: Any) -> st.SearchStrategy[Any]:
    """Return a strategy that makes values of the type of a field."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return instances(hint)
    if origin in (Union, UnionType):
        return st.one_of([st.none() if each is type(None) else a(each) for each in inner])
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return st.dictionaries(WORDS, a(inner[1]), max_size=3)
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return st.lists(a(inner[0]), max_size=3).map(tuple)
    if origin is typing.Literal:
        return st.sampled_from(inner)
    plain = {str: WORDS, int: st.integers(), float: st.floats(allow_nan=False), bool: st.booleans()}
    return plain.get(hint, st.none() | st.integers() | WORDS)


def instances(cls: Any) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(cls)
    fields = {field.name: a(hints[field.name]) for field in dataclasses.fields(cls)}
    if issubclass(cls, Facts):
        fields["exists"] = st.just(True)  # an absent resource has only default values
    return st.builds(cls, **fields)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@per_kind()
@given(data=st.data())
def test_one_half_decodes_what_the_other_half_encodes(cls: Any, data: st.DataObject) -> None:
    made = data.draw(instances(cls))
    sent = json.loads(json.dumps(encode(made)))
    got = decode(cls, sent)
    # A field that is None is not sent, so the field's default may take its place.
    held = {field.name: getattr(made, field.name) for field in dataclasses.fields(cls)}
    assert {name: getattr(got, name) for name, value in held.items() if value is not None} == {
        name: value for name, value in held.items() if value is not None
    }


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@per_kind()
@given(data=st.data())
def test_data_of_another_shape_raise_malformed_only(cls: Any, data: st.DataObject) -> None:
    try:
        found = decode(cls, data.draw(documents(encode(sample(cls)))))
    except Malformed:
        return
    json.dumps(encode(found))


REQUESTS = [
    {
        "id": 1,
        "op": op,
        "stack": STACK,
        "who": "me",
        "kind": "file",
        "item": "/x",
        "owner": URN,
        "index": True,
        "items": [{"kind": "file", "id": "/x", "spec": {"path": "/x"}}],
        "guard": "g",
        "path": "/x",
        "files": {"a": "b"},
    }
    for op in ("hello", "survey", "plan", "confirm", "rollback", "armed", "remove", "nonsense")
]
LINES = blobs(*(json.dumps(each).encode() for each in REQUESTS)) | documents(*REQUESTS).map(
    lambda request: json.dumps(request).encode()
)


@given(line=LINES)
def test_any_request_of_the_preview_key_is_answered_and_changes_nothing(line: bytes, machine: Any) -> None:
    before = sorted(str(path) for path in machine.root.rglob("*"))
    answer = _answer(Agent(machine, -1, ReadOnly(machine, STACK, "digest"), bounded=True), line)
    if not answer["ok"]:
        assert answer["error"]["code"] in ("read-only", "invalid"), answer
    assert sorted(str(path) for path in machine.root.rglob("*")) == before


@given(line=LINES)
def test_any_request_of_a_deployment_is_answered(line: bytes, machine: Any) -> None:
    _answer(Agent(machine, -1), line)


@pytest.mark.parametrize(
    "line", [b"[" * 100_000, b'{"id": ' + b"[" * 100_000, b"", b"\xff", b"{}", b"[]", b"null", b'{"id": 1}']
)
def test_a_line_that_is_not_a_request_gets_an_error(line: bytes, machine: Any) -> None:
    for agent in (Agent(machine, -1), Agent(machine, -1, ReadOnly(machine, STACK, "digest"))):
        answer = agent._answer(line)
        assert answer["error"]["code"] in ("read-only", "invalid")


def _answer(agent: Agent, line: bytes) -> Any:
    answer = agent._answer(line)
    with tempfile.TemporaryFile() as out:
        agent._out = out.fileno()
        agent._send(answer)
        out.seek(0)
        sent = out.read()
    # An answer is one line of plain ASCII, which every JSON reader accepts.
    assert sent.count(b"\n") == 1
    assert sent.isascii()
    return json.loads(sent)


@given(st.lists(LINES, max_size=5))
def test_a_session_ends_with_its_input_and_answers_each_line(lines: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as out:
        here = Machine(root=Path(folder), state=Path(folder) / "state", lock=Path(folder) / "lock")
        said = [line for line in b"\n".join(lines).split(b"\n") if line.strip()]
        agent = Agent(here, out.fileno(), ReadOnly(here, STACK, "digest"), bounded=True)
        agent.serve([], io.BytesIO(b"\n".join(said) + b"\n"))
        out.seek(0)
        assert len(out.readlines()) == len(said)


@given(texts('keys["a.b"]', "mounts[0].target", 'a["b\\"c"].d'))
def test_a_path_of_the_engine_is_read(text: str) -> None:
    assert all(isinstance(step, str) for step in path_of(text))


NO_NULLS = st.recursive(
    st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=5), NO_NULLS, max_size=4))
def test_properties_survive_the_engines_protocol(properties: dict[str, Any]) -> None:
    assert from_struct(to_struct(properties)) == properties
