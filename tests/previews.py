"""A preview has to show what the update does.

Only values that a provider creates may be unknown in a preview.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pulumi.output import Unknown

from tests.recording_engine import declare

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.recording_engine import Engine, Registered


def unknown_in(program: Callable[[], object], **settings: Any) -> set[str]:
    """Run a program in a preview and in an update, and compare all resources. Return the unknown properties.

    The comparison fails if the program declares a resource inside `apply`, because only the update has this
    resource.
    """
    unknown: set[str] = set()
    preview, update = (declare(program, preview=preview, **settings) for preview in (True, False))
    assert [(r.type, r.name) for r in _sorted(preview)] == [(r.type, r.name) for r in _sorted(update)]
    for shown, done in zip(_sorted(preview), _sorted(update), strict=True):
        for field in ("parent", "after", "provider", "secret"):
            assert getattr(shown, field) == getattr(done, field), f"{done.name}: {field}"
        _compare(shown.inputs, done.inputs, done.name, unknown)
    # Only the host knows the revisions of files that a service `reads`, and its limit of open files.
    return {path for path in unknown if ".reads." not in path and ".ulimits[1]." not in path}


def _sorted(engine: Engine) -> list[Registered]:
    return sorted(engine.declared, key=lambda resource: (resource.type, resource.name))


def _compare(shown: Any, done: Any, path: str, unknown: set[str]) -> None:
    if isinstance(shown, Unknown):
        unknown.add(path)
    elif isinstance(shown, dict) and isinstance(done, dict):
        assert shown.keys() == done.keys(), path
        for key in done:
            _compare(shown[key], done[key], f"{path}.{key}", unknown)
    elif isinstance(shown, list) and isinstance(done, list):
        assert len(shown) == len(done), path
        for at, pair in enumerate(zip(shown, done, strict=True)):
            _compare(*pair, f"{path}[{at}]", unknown)
    else:
        assert shown == done, path
