"""An input of a wrong type is refused with its name, and causes no internal error."""

from __future__ import annotations

from typing import Any

import pytest

from portcullis.agent import wire
from portcullis.provider.base import import_kinds, kinds
from tests.components.test_examples import registered

import_kinds()
PROVIDERS = {kind.type_name(): kind for kind in kinds().values()}
WRONG = (5, 2.5, True, "x", "", [], [5], ["x"], {}, {"x": 5}, {"x": "y"}, {"x": {"y": 5}})


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Return the inputs of one resource of each kind, from the components' examples."""
    found: dict[str, dict[str, Any]] = {}
    for one in registered(tmp_path_factory.mktemp("examples")):
        name = one.type.rpartition(":")[2]
        if name in PROVIDERS:
            found.setdefault(name, {**one.inputs, "managed_by": f"urn:pulumi:lab::web::{one.type}::it"})
    return found


def test_the_examples_contain_most_kinds(valid: dict[str, dict[str, Any]]) -> None:
    assert len(valid) > 20, sorted(set(PROVIDERS) - set(valid))


@pytest.mark.parametrize("kind", sorted(PROVIDERS))
def test_a_value_of_a_wrong_type_is_refused_by_name(kind: str, valid: dict[str, dict[str, Any]]) -> None:
    inputs = valid.get(kind, {"host": "web1", "managed_by": f"urn:pulumi:lab::web::x:{kind}::it"})
    wants = getattr(PROVIDERS[kind], "desired_type", None)
    names = {*inputs, *(wants.__dataclass_fields__ if wants else ())} - {"managed_by"}
    for name in sorted(names):
        for wrong in WRONG:
            checked = PROVIDERS[kind]().check({}, {**inputs, name: wrong})
            assert all(failure.reason for failure in checked.failures), (name, wrong)
            # A wrong value is refused with its name, left out, or brought into its normal form.
            if (
                wants
                and name in checked.inputs
                and name not in {one.property.partition(".")[0] for one in checked.failures}
            ):
                wire.assert_type(wants, name, checked.inputs[name])


@pytest.mark.parametrize("kind", sorted(PROVIDERS))
def test_what_the_host_gets_cannot_change(kind: str) -> None:
    for part in ("desired_type", "facts_type"):
        exchanged = getattr(PROVIDERS[kind], part, None)
        assert exchanged is None or exchanged.__dataclass_params__.frozen


def test_the_message_names_the_right_type(valid: dict[str, dict[str, Any]]) -> None:
    (failure,) = PROVIDERS["Sysctl"]().check({}, {**valid["Sysctl"], "values": 5}).failures
    assert (failure.property, failure.reason) == ("values", "must be a map of texts")
    (failure,) = PROVIDERS["Exposure"]().check({}, {**valid["Exposure"], "networks": 5}).failures
    assert (failure.property, failure.reason) == ("networks", "must be a list of texts")
