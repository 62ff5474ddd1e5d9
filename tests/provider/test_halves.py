"""Provider and agent share the declaration of the data that they exchange about each kind."""

from __future__ import annotations

import importlib
from dataclasses import fields
from typing import Any

import pytest

from portcullis.agent import wire
from portcullis.agent.kinds import class_in, module_of
from portcullis.host.provider import HostProvider
from portcullis.provider.base import import_kinds, kinds

import_kinds()
PROVIDERS: dict[str, Any] = {kind.kind: kind for kind in kinds().values() if issubclass(kind, HostProvider)}


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_both_halves_have_the_same_classes(name: str) -> None:
    module = module_of(name)
    assert module is not None
    on_host, provider = class_in(importlib.import_module(module)), PROVIDERS[name]
    assert on_host.desired_type is provider.desired_type
    assert on_host.facts_type is provider.facts_type


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_the_inputs_that_are_read_are_among_the_facts(name: str) -> None:
    provider = PROVIDERS[name]
    known = {field.name for field in fields(provider.facts_type)}
    assert {*provider.live, *provider.chosen} <= known


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_the_values_of_an_absent_thing_have_valid_types(name: str) -> None:
    """The provider would take a state with a wrong type for a state of another version."""
    provider = PROVIDERS[name]
    for key, value in provider().absent_inputs().items():
        wire.assert_type(provider.desired_type, key, value)
