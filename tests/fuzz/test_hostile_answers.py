"""A host may send arbitrary answers.

Each kind of resource accepts them, or refuses them with a printable error.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Any, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.agent.redaction import PROTOCOL
from portcullis.agent.wire import encode
from portcullis.components.host import images
from portcullis.config import reference
from portcullis.host import guarded, provider, survey
from portcullis.host.answers import check
from portcullis.host.errors import HostError
from portcullis.host.provider import HostProvider
from portcullis.host.session import _assert_protocol, _result
from portcullis.printable import printable_values
from portcullis.provider.base import import_kinds, kinds
from portcullis.provider.values import to_struct
from tests.canned import CannedChannel
from tests.components.test_examples import COMPONENTS, pinned
from tests.fuzz.texts import documents, is_utf8, per_kind, printable
from tests.recording_engine import declare

import_kinds()
PROVIDERS = {kind.type_name(): kind for kind in kinds().values() if issubclass(kind, HostProvider)}
Props = dict[str, Any]
URN = "urn:pulumi:lab::web::portcullis:index:Thing::it"
STEP = {"property": 'undeclared["/etc/x"]', "have": "a", "want": "b", "action": "warn", "detail": ""}


class Clock:
    """A clock on which a wait takes no real time."""

    now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def monotonic(self) -> float:
        self.now += 0.01
        return self.now

    time = monotonic


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    """Return the inputs of one resource of each kind, from the components' examples."""
    found: dict[str, dict[str, Any]] = {}
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("examples")
        patch.chdir(folder)
        patch.setattr(images, "resolve", pinned)
        for component in COMPONENTS.values():
            program = reference.example(component)
            engine = declare(lambda program=program: exec(program, {"__name__": "__main__"}), preview=False)  # noqa: S102
            for one in engine.declared:
                name = one.type.rpartition(":")[2]
                urn = f"urn:pulumi:lab::web::{one.type}::it"
                found.setdefault(name, {**one.inputs, "managed_by": urn})
        yield found


def sample(hint: Any) -> Any:
    """Return a made-up value of a type, for the facts in an answer."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        return hint(**{field.name: sample(hints[field.name]) for field in dataclasses.fields(hint)})  # type: ignore[operator]
    if origin in (Union, UnionType):
        return sample(next(each for each in inner if each is not type(None)))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"one": sample(inner[1])}
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return [sample(inner[0])]
    if origin is typing.Literal:
        return inner[0]
    return {str: "/x", int: 3, float: 1.5, bool: True}.get(hint, "x")


def answers(kind: type[HostProvider]) -> dict[str, list[Any]]:
    """Return for each operation an agent's possible answers about a resource of that kind."""
    there = encode(sample(kind.facts_type))
    host = {"os": "debian-13", "agent": "1", "protocol": PROTOCOL}
    items = [
        {"kind": kind.kind, "id": "@", "spec": {}, "facts": facts} for facts in (there, {"exists": False})
    ]
    return {
        "survey": [{"items": [item], "host": host} for item in items],
        "put": [{"steps": [STEP], "facts": there, "guard": guard} for guard in ("", "g1")],
        "remove": [{"done": "restored"}, {"done": "removed", "guard": "g1"}],
        "confirm": [{}],
        "rollback": [{"confirmed": False, "failed": ["x"]}],
        "armed": [{"armed": False}],
        "tree-missing": [{"missing": []}],
        "blob": [{}],
        "plan": [{"steps": [STEP], "facts": there, "refusal": None}],
        "hello": [host],
    }


@pytest.mark.parametrize("name", sorted(PROVIDERS))
@per_kind()
@given(data=st.data())
def test_any_answer_is_taken_or_refused(
    name: str, data: st.DataObject, inputs: dict[str, dict[str, Any]]
) -> None:
    kind = PROVIDERS[name]
    props = inputs.get(name) or encode(sample(kind.desired_type)) | {"host": "web1", "managed_by": URN}
    said = answers(kind)
    wanted = kind().item(props)

    def answer(op: str, _: Mapping[str, Any]) -> Any:
        drawn = data.draw(documents(*said.get(op, [{}])), label=op)
        # The session checks and returns an answer in this way.
        result = check(op, _result({"id": 1, "ok": True, "result": _as_sent(drawn, wanted.id)}))
        _assert_protocol(result)
        return result

    with pytest.MonkeyPatch.context() as patch:
        clock = Clock()
        patch.setattr(guarded, "time", clock)
        patch.setattr(survey, "_surveys", {})
        patch.setattr(provider, "session", lambda _host, _stack: CannedChannel(answer))
        state = props
        for action in (_read, _update, _delete):
            try:
                state = action(kind(), state, props)
            except HostError as error:
                assert printable(str(error))
                assert is_utf8(str(error))
        assert clock.now < 600


def _as_sent(value: Any, item: str) -> Any:
    try:
        sent = json.loads(json.dumps(value).replace('"@"', json.dumps(item)))
    except ValueError:
        return {}
    return sent


def _read(kind: HostProvider, state: Props, props: Props) -> Props:
    found = kind.read("web1:x", state)
    for read in (found.outs, found.inputs):
        to_struct(read)
        new = {key: value for key, value in read.items() if value != props.get(key)}
        assert printable_values(new) == new
    return found.outs


def _update(kind: HostProvider, state: Props, props: Props) -> Props:
    kind.diff("web1:x", state, props)
    outs = kind.update("web1:x", state, props).outs
    to_struct(outs)
    return outs


def _delete(kind: HostProvider, state: Props, _: Props) -> Props:
    kind.delete("web1:x", state)
    return state
