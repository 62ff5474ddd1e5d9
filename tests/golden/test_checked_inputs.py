"""Stores what a kind makes of arguments and inputs, right and wrong ones.

A kind may declare its properties in another way, but the results must stay the same. Otherwise deployed
stacks would show a difference, or a wrong value would pass. To add a kind, add its name to `KINDS`, and run
`make golden` before you change the kind.
"""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any

import pytest
from pulumi.output import UNKNOWN

from portcullis import resources
from portcullis.agent.wire import encode
from portcullis.provider.base import import_kinds, kinds
from portcullis.provider.schema import resource_class, schema_text
from tests.components.test_examples import registered
from tests.recording_engine import Registered, declare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.golden.conftest import Golden

KINDS = ("Directory", "Sysctl")

import_kinds()
PROVIDERS: dict[str, Any] = {kind.type_name(): kind for kind in kinds().values()}
SCHEMA = json.loads(schema_text("1.0.0"))["resources"]
OWNER = "urn:pulumi:lab::web::portcullis:index:Kind::it"
MISSING = "(missing)"
# Values of each type, empty ones, unknown ones, and texts that are almost right.
VALUES: tuple[Any, ...] = (
    MISSING, None, UNKNOWN, True, False, 0, 5, 750, 2.5, "", " ", "x", "1", "root", "remove", "keep",
    "750", "0644", "00644", "0888", "/", "/srv/a", "/srv/a/", "/srv/../a", "/srv/a\0b", "/srv/a\n",
    "/etc/sysctl.d/a.conf", "/etc/sysctl.d/a.conf\n", "/etc/sysctl.d/b/a.conf", "/etc/sysctl.d/.conf",
    [], [5], [None], ["b", "a"], ["x", UNKNOWN], {}, {"x": 5}, {"x": "y"}, {"x": None}, {"x": UNKNOWN},
    {"x": {"y": 5}}, {"net.ipv4.ip_forward": "1"}, {"net.ipv4.ip_forward": 1},
    {"net.ipv4.ip_forward": UNKNOWN}, {"net.ipv4.tcp_rmem": "1 2"}, {"net.ipv4.tcp_rmem": "1  2"},
    {"net..x": "1"}, {"net.ipv6.conf.<static>.accept_ra": "0"},
)  # fmt: skip
# Arguments that no example gives.
DECLARED: tuple[Callable[[], Any], ...] = (
    lambda: resources.Directory("it", host="web1", path="/srv/a"),
    lambda: resources.Directory(
        "it", host="web1", path="/srv/a", owner="1", group="www-data", mode="750", on_delete="keep",
        make_parents=True, adopt=True,
    ),
    lambda: resources.Directory("it", host="web1", path="/srv/a", make_parents=False, adopt=False),
    lambda: resources.Sysctl("it", host="web1", values={"b.c": "1", "a.c": "0 1"}),
    lambda: resources.Sysctl("it", host="web1", values={"b.c": "1"}, content=None, optional=()),
    lambda: resources.Sysctl(
        "it", host="web1", values={"b.c": "1"}, path="/etc/sysctl.d/a.conf", content="# a\nb.c = 1\n",
        optional=("b.c", "a.c"), adopt=True,
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> list[Registered]:
    """Return the resources of the components' examples, and of `DECLARED`."""
    found = registered(tmp_path_factory.mktemp("examples"))
    return found + [one for program in DECLARED for one in declare(program, preview=False).declared]


@pytest.mark.parametrize("kind", KINDS)
def test_arguments_and_inputs_are_handled_as_stored(
    kind: str, declared: list[Registered], golden: Golden
) -> None:
    resource = resource_class(PROVIDERS[kind])
    mine = [one for one in declared if one.type.endswith(f":{kind}")]
    provider = PROVIDERS[kind]
    lines = [f"# {kind}{inspect.signature(resource)}"]
    lines += [
        f"{name}: {', '.join(sorted(getattr(provider, name)))}" for name in ("live", "identity", "secrets")
    ]
    lines += ["", "# schema", *_schema(kind)]
    lines += [
        "",
        "# resources of the examples: inputs, id, spec, what the host gets",
        *_resources(kind, mine),
    ]
    lines += [
        "",
        "# one input with another value: the inputs that change, or the faults",
        *_values(kind, mine),
    ]
    golden(f"checked/{kind}.txt", "\n".join(lines) + "\n")


def _schema(kind: str) -> Iterator[str]:
    described = SCHEMA[f"portcullis:index:{kind}"]
    for name, spec in described["inputProperties"].items():
        needed = "needed " if name in described["requiredInputs"] else ""
        yield f"{needed}input {name}: {_text(spec)}"
    for name, spec in described["properties"].items():
        yield f"output {name}: {_text(spec)}"


def _resources(kind: str, mine: list[Registered]) -> Iterator[str]:
    provider = PROVIDERS[kind]()
    for given, secret in sorted({(_text(one.inputs), tuple(sorted(one.secret))) for one in mine}):
        checked = provider.check({}, {**json.loads(given), "managed_by": OWNER})
        assert not checked.failures
        item = provider.item(checked.inputs)
        yield given + (f" secret: {', '.join(secret)}" if secret else "")
        inputs = {key: value for key, value in checked.inputs.items() if key != "managed_by"}
        if _text(inputs) != given:
            yield f"  checked: {_text(inputs)}"
        yield f"  id: {item.id}, spec: {_text(item.spec)}"
        sent = encode(provider.desired(checked.inputs))
        left_out = sorted({*inputs} - {*sent})
        same = sent == {key: value for key, value in inputs.items() if key not in left_out}
        yield f"  sent: {'the same, without ' + ', '.join(left_out) if same else _text(sent)}"


def _values(kind: str, mine: list[Registered]) -> Iterator[str]:
    """Check each input of the resource with the most inputs, with each value."""
    given = {**max((one.inputs for one in mine), key=len), "managed_by": OWNER}
    provider = PROVIDERS[kind]()
    usual = provider.check({}, given).inputs
    for name in sorted(
        {*given, *usual, *SCHEMA[f"portcullis:index:{kind}"]["inputProperties"]} - {"managed_by"}
    ):
        told: dict[str, list[str]] = {}
        for value in VALUES:
            others = {key: held for key, held in given.items() if key != name}
            result = _result(provider, usual, others if value is MISSING else {**others, name: value}, value)
            told.setdefault(result, []).append(_value(value))
        yield f"{name}:"
        most = max(told, key=lambda result: len(told[result]))
        for result, values in told.items():
            yield f"  {result}  <- {'all other values' if result == most else '  '.join(values)}"


def _result(provider: Any, usual: dict[str, Any], given: dict[str, Any], value: Any) -> str:
    try:
        checked = provider.check({}, given)
    except Exception as error:  # noqa: BLE001 - a fault of ours is a result too
        return f"RAISES {type(error).__name__}"
    if checked.failures:
        faults = "; ".join(f"{fault.property}: {fault.reason}" for fault in checked.failures)
        return "FAULT " + faults.replace(repr(value), "VALUE")
    held = {key: _value(checked.inputs.get(key, MISSING)) for key in sorted({*usual, *checked.inputs})}
    changed = {key: text for key, text in held.items() if text != _value(usual.get(key, MISSING))}
    told = (
        f"{key} = {'VALUE' if text == _value(value) != MISSING else text}" for key, text in changed.items()
    )
    return ", ".join(told) or "as usual"


def _value(value: Any) -> str:
    return value if value is MISSING else repr(value).replace(repr(UNKNOWN), "UNKNOWN")


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
