"""Validation of arguments that are no section yet, with the same forms as the settings."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from portcullis.config.faults import ArgumentsError, Fault, SettingPath, fault, path


def require(form: Any, value: object, root: str) -> None:
    """Check one argument, which stands at `root`, such as `Fail2ban.ssh_port`.

    Raises:
        ArgumentsError: it is not of the form.
    """
    if faults := faults_in(form, value, root):
        raise ArgumentsError(faults)


def faults_in(form: Any, value: object, root: str) -> list[Fault]:
    """Return what is wrong with one value, which stands at `root`."""
    is_map = get_origin(get_args(form)[0]) is Mapping if get_args(form) else False
    raw = list(value) if isinstance(value, Mapping) and not is_map else value
    try:
        _adapter(form).validate_python(raw)
    except ValidationError as error:
        return [fault(each, path(root, each["loc"])) for each in error.errors(include_url=False)]
    return []


def refuse_faults(at: SettingPath) -> None:
    """End the making of a component where checks of its arguments have found something.

    Raises:
        ArgumentsError: with all that was reported at a place, or below it.
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
