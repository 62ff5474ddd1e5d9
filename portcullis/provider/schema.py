"""Generates the package's schema. `pulumi package get-schema` prints it, and `pulumi import` uses it.

The schema comes from the classes of resources: constructors, annotations and docstrings.
Pulumi explains schemas at https://www.pulumi.com/docs/iac/extending-pulumi/schema/.
"""

from __future__ import annotations

import ast
import functools
import inspect
import json
import re
import sys
from typing import TYPE_CHECKING, Any

from portcullis.agent.declared import Declaration
from portcullis.docstrings import docstrings
from portcullis.provider.base import PACKAGE, import_kinds, kinds

if TYPE_CHECKING:
    import pulumi

    from portcullis.provider.base import Provider

    Json = dict[str, Any]

_ANY: Json = {"$ref": "pulumi.json#/Any"}
_STRING: Json = {"type": "string"}
_PRIMITIVES: dict[str, Json] = {
    "str": _STRING, "int": {"type": "integer"}, "float": {"type": "number"}, "bool": {"type": "boolean"},
}  # fmt: skip
_LISTS = {"Sequence", "list", "tuple", "Iterable"}
_MAPS = {"Mapping", "dict"}
_WRAPPED = {"Input", "Output", "PathLike", "Awaitable"}
_NOT_INPUTS = {"self", "name", "opts"}


@functools.cache
def schema_text(version: str) -> str:
    """Return the schema of every kind, as JSON."""
    import_kinds()
    return json.dumps(
        {
            "name": PACKAGE,
            "displayName": "Portcullis",
            "version": version,
            "description": "The state of a Linux host as resources that previews read back from the host.",
            "resources": {token: _resource(kind) for token, kind in sorted(kinds().items())},
        },
        indent=1,
    )


def resource_class(kind: type[Provider]) -> type[pulumi.CustomResource]:
    """Return the resource class, which is in the same module as its provider."""
    found: type[pulumi.CustomResource] = getattr(sys.modules[kind.__module__], kind.type_name())
    return found


def _resource(kind: type[Provider]) -> Json:
    declared = resource_class(kind)
    inputs, required = _inputs(kind, declared)
    outputs = {name: _without_default(spec) for name, spec in inputs.items()}
    for name, spec in _outputs(kind, declared).items():
        told = {key: value for key, value in outputs.get(name, {}).items() if key == "description"}
        outputs[name] = told | spec
    return {
        "description": _summary(declared),
        "inputProperties": inputs,
        "requiredInputs": required,
        "properties": outputs,
        "required": required,
    }


def _inputs(kind: type[Provider], declared: type) -> tuple[Json, list[str]]:
    told = _section(inspect.getattr_static(declared, "__init__"), "Args") | _declared_texts(declared)
    inputs: Json = {}
    required = []
    for name, parameter in inspect.signature(declared).parameters.items():
        if name in _NOT_INPUTS:
            continue
        spec = _type(parameter.annotation)
        if name in kind.sets:
            spec = {"oneOf": [spec, {"type": "object", "additionalProperties": _STRING}]}
        if parameter.default is inspect.Parameter.empty:
            required.append(name)
        elif isinstance(parameter.default, bool | int | float | str):
            spec = {**spec, "default": parameter.default}
        inputs[name] = _described(kind, name, spec, told)
    return inputs, required


def _outputs(kind: type[Provider], declared: type) -> Json:
    outputs: Json = {}
    for base in reversed(declared.__mro__):
        if base.__module__.partition(".")[0] == "pulumi":
            continue
        told = _section(base, "Attributes") | _declared_texts(base)
        for name, annotation in inspect.get_annotations(base).items():
            if str(annotation).startswith("pulumi.Output["):
                outputs[name] = _described(kind, name, _type(annotation), told)
    return outputs


def _declared_texts(declared: type) -> dict[str, str]:
    """Return the docstring below each declared property of a resource."""
    if not issubclass(declared, Declaration):
        return {}
    texts: dict[str, str] = {}
    for base in reversed(declared.__mro__):
        if "properties" in base.__dict__:
            texts |= docstrings(base)
    return texts | ({"adopt": declared.adopts} if declared.adopts else {})


def _described(kind: type[Provider], name: str, spec: Json, told: dict[str, str]) -> Json:
    return {
        **spec,
        **({"description": told[name]} if name in told else {}),
        **({"secret": True} if name in kind.secrets else {}),
    }


def _without_default(spec: Json) -> Json:
    return {key: value for key, value in spec.items() if key != "default"}


def _type(annotation: Any) -> Json:
    return _type_of(ast.parse(str(annotation), mode="eval").body)


def _type_of(node: ast.expr) -> Json:
    found = _ANY  # for example a class of our own
    match node:
        case ast.BinOp():
            found = _union(_members(node))
        case ast.Name(id=name) if name in _PRIMITIVES:
            found = _PRIMITIVES[name]
        case ast.Subscript(value=ast.Attribute(attr=name) | ast.Name(id=name), slice=inner):
            items = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            if name == "Literal":
                found = _PRIMITIVES[type(ast.literal_eval(items[0])).__name__]
            elif name in _LISTS:
                found = {"type": "array", "items": _type_of(items[0])}
            elif name in _MAPS:
                found = {"type": "object", "additionalProperties": _type_of(items[1])}
            elif name in _WRAPPED:
                found = _type_of(items[0])
    return found


def _members(node: ast.expr) -> list[Json]:
    if isinstance(node, ast.BinOp):
        return [*_members(node.left), *_members(node.right)]
    if isinstance(node, ast.Constant) and node.value is None:
        return []
    return [_type_of(node)]


def _union(members: list[Json]) -> Json:
    different = [member for at, member in enumerate(members) if member not in members[:at]]
    if _ANY in different:
        return _ANY
    return different[0] if len(different) == 1 else {"oneOf": different}


def _summary(declared: type) -> str:
    return re.split(r"\n(?:Attributes|Args|Raises):\n", inspect.getdoc(declared) or "")[0].strip()


def _section(documented: Any, title: str) -> dict[str, str]:
    """Return, for each argument in a section of a docstring, such as `Args:`, its description."""
    text = inspect.cleandoc(documented.__doc__ or "")
    found = re.search(rf"^{title}:\n((?:(?: .*)?\n?)*)", text, re.MULTILINE)
    told: dict[str, str] = {}
    for name, words in re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", found[1] if found else "", re.MULTILINE):
        told[name] = " ".join(words.split())
    return told
