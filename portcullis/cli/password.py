"""Print the passwords of a store's users, or the password of one login. `password` changes nothing."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from portcullis.cli import command

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

_NOT_EXPORTED = (
    "it exports those of people with a tunnel. Declare a tunnel and run `up`. A program of your own must "
    "also call export_tunnels (docs/tunnels.md)"
)
_PASSWORD = "password-"  # noqa: S105 - the prefix of an output's name


def passwords(store: str, outputs: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the logins of a store with their passwords. `store` may also be one login, as in "redis-app"."""
    store = store.replace(".", "-")  # people may write postgres.shop, as in an app's `uses`
    found = {key.removeprefix(_PASSWORD): text for key, text in outputs.items() if key.startswith(_PASSWORD)}
    return sorted(
        (name, text) for name, text in found.items() if name == store or name.startswith(f"{store}-")
    )


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    command.add_stack(parser)
    example = "redis, mongo.shop, postgres-shop-api"
    parser.add_argument("store", help=f"a store, a database or a login, such as {example}")


def run(options: argparse.Namespace) -> int:
    """Print the passwords and nothing else. A single password is printed without its login."""
    stack = command.stack_of(options.stack)
    outputs = json.loads(command.answer("stack", "output", "--json", "--show-secrets", "--stack", stack))
    found = passwords(options.store, outputs)
    if not found:
        known = sorted(key.removeprefix(_PASSWORD) for key in outputs if key.startswith(_PASSWORD))
        if known:
            sys.stderr.write(f"no password of {options.store}; there are passwords of {', '.join(known)}\n")
        else:
            sys.stderr.write(f"stack {stack} exports no password: {_NOT_EXPORTED}\n")
        return 1
    if len(found) == 1:
        print(found[0][1])  # noqa: T201
    else:
        print(*(f"{name}: {text}" for name, text in found), sep="\n")  # noqa: T201
    return 0
