"""Checks the form of an agent's answers. A host is not trusted, so an answer in another form is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from portcullis.host.errors import not_ours
from portcullis.printable import printable_values

Json = dict[str, Any]
Form = Callable[[Any], bool]


def check(op: str, result: Json) -> Json:
    """Return the answer to an operation. Its texts for people become safe to print.

    Raises:
        HostError: no agent of Portcullis gives this answer.
    """
    for name, form in _FORMS.get(op, {}).items():
        if not form(result.get(name)):
            raise not_ours(
                f"in the agent's answer to {op}, the field {name} is missing or has the wrong form"
            )
    return result | {name: printable_values(result[name]) for name in _SPOKEN if name in result}


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _or_nothing(form: Form) -> Form:
    return lambda value: value is None or form(value)


def _list(form: Form) -> Form:
    return lambda value: isinstance(value, list) and all(map(form, value))


def _object(**forms: Form) -> Form:
    return lambda value: (
        isinstance(value, dict) and all(form(value.get(name)) for name, form in forms.items())
    )


_FACTS = _object(exists=_flag, revision=_or_nothing(_text))
_STEPS = _list(_object(property=_text, have=_text, want=_text, action=_text, detail=_text))
_ERROR = _object(code=_text, message=_text, hint=_text, property=_text, detail=_text)
_HOST = _object(os=_text)


def _item(value: Any) -> bool:
    named = _object(kind=_text, id=_text)(value)
    return named and (_ERROR(value["error"]) if "error" in value else _FACTS(value.get("facts")))


_SPOKEN = ("steps", "refusal")
"""The fields with texts for people."""
_FORMS: Mapping[str, Mapping[str, Form]] = {
    "hello": {"os": _text},
    "survey": {"items": _list(_item), "host": _or_nothing(_HOST)},
    "plan": {"steps": _STEPS, "facts": _FACTS, "refusal": _or_nothing(_ERROR)},
    "put": {"steps": _STEPS, "facts": _FACTS, "guard": _or_nothing(_text)},
    "remove": {"done": _text, "guard": _or_nothing(_text)},
    "rollback": {"confirmed": _flag, "failed": _list(_text)},
    "armed": {"armed": _flag},
    "tree-missing": {"missing": _list(_text)},
}
