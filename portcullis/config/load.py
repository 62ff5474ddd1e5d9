"""Turns a stack's configuration into validated settings, and reports every fault at once."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from portcullis.config.faults import NAMESPACE, Fault, SettingsError, Source, fault, in_yaml, path
from portcullis.config.section import Section

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

S = TypeVar("S", bound=Section)


def load(
    model: type[S],
    config: Mapping[str, Any],
    secret: Collection[str] = (),
    others: Collection[str] = (),
) -> S:
    """Validate the configuration of one stack.

    Args:
        model: the section whose fields are the keys of the namespace.
        config: the values under the namespace of Portcullis. Their keys are written without the namespace.
        secret: the keys that contain an encrypted value; faults under them show no values.
        others: the full keys of other namespaces. A key whose namespace resembles ours counts as misspelt;
            otherwise the settings under it would silently count as removed.

    Raises:
        SettingsError: the settings have faults. The error lists every fault that can be found without a
            connection to a host.
    """
    misspelt = [
        Fault(key, "has an unknown namespace", f"the keys of this program begin with {NAMESPACE}:")
        for key in others
        if difflib.get_close_matches(key.partition(":")[0].lower(), [NAMESPACE], cutoff=0.75)
    ]
    # The project file gives an empty map to each key that the stack does not set.
    known = {in_yaml(name) for name in model.model_fields}
    written = {key: value for key, value in config.items() if key not in known or value not in (None, {})}
    try:
        made = read(model, written, f"{NAMESPACE}:", secret)
    except SettingsError as error:
        raise SettingsError([*misspelt, *error.faults]) from None
    if misspelt:
        raise SettingsError(misspelt)
    return made


def read(model: type[S], raw: Any, root: str, secret: Collection[str] = ()) -> S:
    """Validate one section whose fields have their names in YAML.

    Args:
        model: the section.
        raw: the raw value.
        root: the beginning of every path.
        secret: its keys that contain an encrypted value.

    Raises:
        SettingsError: with every fault.
    """
    try:
        return model.model_validate(
            raw, by_alias=True, by_name=False, context=Source(root, secret=frozenset(secret))
        )
    except ValidationError as error:
        errors = error.errors(include_url=False)
    # List the faults in the order of the keys, whichever section found them.
    order = [in_yaml(name) for name in model.model_fields]
    errors.sort(key=lambda each: order.index(str(each["loc"][0])) if _is_known(each, order) else -1)
    raise SettingsError(
        fault(each, path(root, each["loc"]), secret=bool(each["loc"]) and each["loc"][0] in secret)
        for each in errors
    )


def _is_known(error: Any, order: Collection[str]) -> bool:
    return bool(error["loc"]) and error["loc"][0] in order
