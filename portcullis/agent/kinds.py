"""All kinds of host resources, by their names in the protocol.

A kind is loaded when it is first needed, because most sessions need only a few kinds. A kind that is not
loaded costs no memory and no time to compile.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import re
import threading
from typing import TYPE_CHECKING, Any, get_origin

from portcullis.agent.errors import AgentError
from portcullis.agent.kind import Kind

if TYPE_CHECKING:
    from types import ModuleType

    from portcullis.agent.machine import Machine
    from portcullis.agent.store import Store

_NAME = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)?")
_PLACES = ("portcullis.resources", "portcullis.components")


class Kinds(dict[str, "Kind[Any, Any, Any]"]):
    """The handlers of resources, by the name of the kind. A handler is made when it is first needed."""

    def __init__(self, machine: Machine, store: Store) -> None:
        """Start without any loaded kind."""
        super().__init__()
        self._machine, self._store = machine, store
        self._making = threading.RLock()

    def known(self, name: str) -> bool:
        """Return whether there is a kind with this name."""
        return name in self or module_of(name) is not None

    def __missing__(self, name: str) -> Kind[Any, Any, Any]:
        """Make the handler of a kind. Raises `AgentError` (``invalid``) for an unknown name."""
        with self._making:
            if name not in self:
                module = module_of(name)
                if module is None:
                    raise AgentError(
                        "invalid", f"this version of the agent does not know the resource kind {name!r}"
                    )
                self[name] = class_in(importlib.import_module(module))(self._machine, self._store)
            return self[name]


@functools.cache
def module_of(name: str) -> str | None:
    """Return the module of a kind. The name of the kind tells where the module is.

    The kind `file` is in the module `on_host` of the folder `file`. The kind `fail2ban.jails` is in the
    module `jails` of the folder `fail2ban/on_host`. So a new kind needs no entry in a table.
    """
    if not _NAME.fullmatch(name):
        return None
    folder, _, module = name.partition(".")
    for place in _PLACES:
        path = ".".join([place, folder, "on_host", *([module] if module else [])])
        with contextlib.suppress(ModuleNotFoundError):
            if importlib.util.find_spec(path) is not None:
                return path
    return None


def class_in(module: ModuleType) -> type[Kind[Any, Any, Any]]:
    """Return the one kind that a module defines."""
    (found,) = (
        value
        for value in vars(module).values()
        # Python 3.10 treats an alias such as dict[str, Any] as a type, but issubclass() refuses it.
        if isinstance(value, type) and get_origin(value) is None
        if issubclass(value, Kind) and value.__module__ == module.__name__
    )
    return found
