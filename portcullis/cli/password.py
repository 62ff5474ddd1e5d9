"""The passwords of a store's users: of all of them, or of one login. Read only."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from portcullis.cli import command

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

_NOT_EXPORTED = (
    "they are those of people with a tunnel. Declare one and run `up`; a program of your own also calls "
    "export_tunnels (docs/tunnels.md)"
)
_PASSWORD = "password-"  # noqa: S105 - how an output begins


def passwords(store: str, outputs: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the logins of a store with their passwords; `store` may name one login, as in "redis-app"."""
    store = store.replace(".", "-")  # as an app's `uses` has it: mongo.shop
    found = {key.removeprefix(_PASSWORD): text for key, text in outputs.items() if key.startswith(_PASSWORD)}
    return sorted(
        (name, text) for name, text in found.items() if name == store or name.startswith(f"{store}-")
    )


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the verb takes."""
    command.add_stack(parser)
    parser.add_argument("store", help="a store, a database of it or one login: redis, mongo.shop, redis-api")


def run(options: argparse.Namespace) -> int:
    """Print the passwords, and nothing else; where it is one, that alone."""
    stack = command.stack_of(options.stack)
    outputs = json.loads(command.answer("stack", "output", "--json", "--show-secrets", "--stack", stack))
    found = passwords(options.store, outputs)
    if not found:
        known = sorted(key.removeprefix(_PASSWORD) for key in outputs if key.startswith(_PASSWORD))
        if known:
            sys.stderr.write(f"there is no password of {options.store}; known are {', '.join(known)}\n")
        else:
            sys.stderr.write(f"stack {stack} exports no password: {_NOT_EXPORTED}\n")
        return 1
    if len(found) == 1:
        print(found[0][1])  # noqa: T201
    else:
        print(*(f"{name}: {text}" for name, text in found), sep="\n")  # noqa: T201
    return 0
