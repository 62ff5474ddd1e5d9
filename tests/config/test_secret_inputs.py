"""Every input that may hold a secret has a canary in the secrets drill, or a reason why it needs none."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portcullis import components
from portcullis.components.host.stack import StackArgs
from portcullis.config.describe import json_schema
from portcullis.config.section import Section
from portcullis.provider.base import import_kinds, kinds
from tests.e2e.secrets import inputs

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
_VARIABLE = re.compile(
    r'"((?:PULUMI|PORTCULLIS|GITHUB|GITLAB|CI)_[A-Z_]*(?:TOKEN|PASSPHRASE|SECRET|KEY)[A-Z_]*)"'
)


def test_every_setting_that_may_be_encrypted_is_listed() -> None:
    schema = json_schema(StackArgs)
    read: dict[str, Any] = json.loads(schema) if isinstance(schema, str) else schema
    found = {
        path.removeprefix(".config.portcullis:") for path in _encrypted(read, "", read.get("$defs", {}), ())
    }
    hidden = {
        f"{section.__name__}.{name}"
        for section in _sections(Section)
        for name, field in section.model_fields.items()
        if section.__module__.startswith("portcullis.")
        and not field.repr
        and re.fullmatch(r"typing\.Any", str(field.annotation))
    }
    assert hidden == set(inputs.UNMARKED)
    assert found | set(inputs.UNMARKED.values()) == set(inputs.SETTINGS)


def test_every_secret_property_of_a_resource_is_listed() -> None:
    import_kinds()
    found = {f"{kind.type_name()}.{name}" for kind in kinds().values() for name in kind.secrets}
    assert found == set(inputs.KINDS)


def test_every_secret_argument_of_a_part_is_listed() -> None:
    found = set()
    for name in components.__all__:
        part = getattr(components, name)
        if not inspect.isclass(part) or issubclass(part, Section):
            continue
        for given in inspect.signature(part).parameters.values():
            kind = str(given.annotation)
            named = (
                given.name in ("password", "secret_env", "secrets", "previous", "value")
                and "Input[str]" in kind
            )
            if named or "SecretInput" in kind:
                found.add(f"{name}.{given.name}")
    assert found - set(inputs.KINDS) == set(inputs.PARTS)


def test_every_secret_environment_variable_is_listed() -> None:
    folders = [ROOT / "components", ROOT / "portcullis", ROOT / "policy"]
    texts = [file.read_text() for folder in folders for file in folder.rglob("*.py")]
    found = {
        name for text in [*texts, (ROOT / "__main__.py").read_text()] for name in _VARIABLE.findall(text)
    }
    assert found == set(inputs.ENVIRONMENT)


def test_every_listed_input_exists() -> None:
    lists = (inputs.SETTINGS, inputs.KINDS, inputs.PARTS, inputs.ENVIRONMENT)
    named = {
        word
        for each in lists
        for said in each.values()
        if not said.startswith("none: ")
        for word in said.split()
    }
    assert named == {*inputs.GIVEN, "made"}


def _encrypted(node: Any, path: str, known: dict[str, Any], above: tuple[str, ...]) -> Iterator[str]:
    if not isinstance(node, dict):
        return
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        if name not in above:
            yield from _encrypted(known[name], path, known, (*above, name))
        return
    if node.get("required") == ["secure"]:
        yield path
    for key, value in node.get("properties", {}).items():
        yield from _encrypted(value, f"{path}.{key}", known, above)
    for value in (
        node.get("additionalProperties"),
        node.get("items"),
        *node.get("patternProperties", {}).values(),
    ):
        yield from _encrypted(value, f"{path}.*", known, above)
    for key in ("anyOf", "oneOf", "allOf"):
        for value in node.get(key, []):
            yield from _encrypted(value, path, known, above)


def _sections(above: type[Section]) -> Iterator[type[Section]]:
    for section in above.__subclasses__():
        yield section
        yield from _sections(section)
