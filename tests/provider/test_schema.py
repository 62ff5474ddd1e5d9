from __future__ import annotations

import inspect
import json
from dataclasses import fields

import pytest

from portcullis import components, resources
from portcullis.components.secrets.resource import GeneratedSecretProvider
from portcullis.host.provider import HostProvider
from portcullis.host.resource import HostResource
from portcullis.provider.base import kinds
from portcullis.provider.schema import resource_class, schema_text

SCHEMA = json.loads(schema_text("1.2.3"))
OURS = kinds()


def test_every_host_resource_has_a_provider_and_is_described() -> None:
    declared = {
        name
        for package in (components, resources)
        for name in package.__all__
        if inspect.isclass(found := getattr(package, name)) and issubclass(found, HostResource)
    }
    served = {kind.type_name() for kind in OURS.values()}
    assert served == declared | {"GeneratedSecret"}
    assert set(OURS) <= set(SCHEMA["resources"])


@pytest.mark.parametrize("token", sorted(OURS))
def test_a_secret_input_is_in_no_repr(token: str) -> None:
    kind = OURS[token]
    declared = getattr(kind, "desired_type", None)
    shown = {field.name for field in fields(declared) if field.repr} if declared else set()
    assert not shown & set(kind.secrets)


@pytest.mark.parametrize("token", sorted(OURS))
def test_every_argument_is_an_input_with_a_description(token: str) -> None:
    described = SCHEMA["resources"][token]
    assert described["description"]
    parameters = inspect.signature(resource_class(OURS[token])).parameters
    arguments = set(parameters) - {"self", "name", "opts"}
    assert set(described["inputProperties"]) == arguments
    assert set(described["requiredInputs"]) == {
        name for name in arguments if parameters[name].default is inspect.Parameter.empty
    }
    for name, spec in described["inputProperties"].items():
        assert spec["description"], name
        assert {"type", "oneOf", "$ref"} & set(spec), name


def test_types_and_defaults_are_those_of_the_declaration() -> None:
    file = SCHEMA["resources"]["portcullis:index:File"]
    assert file["requiredInputs"] == ["host", "path", "content"]
    assert file["inputProperties"]["mode"] == {
        "type": "string", "default": "0644", "description": 'permission bits in octal, such as "0640".',
    }  # fmt: skip
    assert file["inputProperties"]["validate"]["items"] == {"type": "string"}
    assert file["properties"]["revision"]["type"] == "string"
    assert "default" not in file["properties"]["mode"]
    user = SCHEMA["resources"]["portcullis:index:User"]["inputProperties"]
    assert user["keys"]["additionalProperties"] == {"type": "string"}
    assert [spec["type"] for spec in user["groups"]["oneOf"]] == ["array", "object"]
    assert user["sudo"]["type"] == "boolean"
    assert SCHEMA["resources"]["portcullis:index:ServedSites"]["inputProperties"]["sites"]["type"] == "object"


def test_secrets_are_marked() -> None:
    marked = {
        f"{token.rpartition(':')[2]}.{name}"
        for token, resource in SCHEMA["resources"].items()
        for name, spec in {**resource["inputProperties"], **resource["properties"]}.items()
        if spec.get("secret")
    }
    assert marked == {
        "GeneratedSecret.value", "GeneratedSecret.previous", "MongoRoot.password", "MongoRoot.previous",
        "MongoUser.password", "PulledImage.password", "RedisUser.password", "StoreUser.password",
    }  # fmt: skip
    assert GeneratedSecretProvider.secrets == ("value", "previous")


def test_an_abstract_kind_is_not_served() -> None:
    class Half(HostProvider):
        kind = "half"
        __module__ = "portcullis.half"

    assert Half.type_token() not in kinds()
