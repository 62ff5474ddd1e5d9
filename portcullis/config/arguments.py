"""Validates single arguments outside of sections, with the same types as the settings."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from portcullis.config.faults import ArgumentsError, Fault, SettingPath, fault, path


def require(form: Any, value: object, root: str) -> None:
    """Check one argument.

    `root` is the argument's path in messages, such as `Fail2ban.ssh_port`.

    Raises:
        ArgumentsError: the value does not have this type.
    """
    if faults := faults_in(form, value, root):
        raise ArgumentsError(faults)


def faults_in(form: Any, value: object, root: str) -> list[Fault]:
    """Return the faults of one value. `root` is the value's path in messages."""
    is_map = get_origin(get_args(form)[0]) is Mapping if get_args(form) else False
    raw = list(value) if isinstance(value, Mapping) and not is_map else value
    try:
        _adapter(form).validate_python(raw)
    except ValidationError as error:
        return [fault(each, path(root, each["loc"])) for each in error.errors(include_url=False)]
    return []


def refuse_faults(at: SettingPath) -> None:
    """Raise an error if the checks of a component's arguments have reported faults.

    Raises:
        ArgumentsError: a fault was reported at the path `at`, or at a path below it. The error lists every
            such fault.
    """
    if not at.found:
        return
    error = ValidationError.from_exception_data(at.source.root, at.found)
    raise ArgumentsError(
        fault(each, path(at.source.root, each["loc"])) for each in error.errors(include_url=False)
    )


@cache
def _adapter(form: Any) -> TypeAdapter[Any]:
    return TypeAdapter(form)
