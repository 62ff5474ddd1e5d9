"""How people reach the stores of a stack from home: `python -m portcullis.cli.tunnels --stack lab`.

Read only.

Addresses are in the settings and nowhere in the state, so what people paste is put together here. With
`--password STORE` it prints the passwords of that store's users instead, and nothing else.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from portcullis.cli.command import pulumi
from portcullis.components.host.stack import StackArgs
from portcullis.components.tunnels.render import tunnel_lines
from portcullis.config.faults import SettingsError
from portcullis.config.sources import of_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from portcullis.components.host.args import HostArgs

_LAB = "lab"
_PASSWORD = "password-"  # noqa: S105 - how an output begins


class Failed(Exception):
    """What pulumi said when it could not answer."""


def lines(stack: str, hosts: Mapping[str, HostArgs], tunnels: Mapping[str, Any]) -> Iterator[str]:
    """Yield what each person pastes, for people.

    Args:
        stack: the stack's name.
        hosts: the hosts by alias, as the settings declare them.
        tunnels: the stack's output of that name: person to host to what they need.
    """
    for person, reached in sorted(tunnels.items()):
        for alias, needed in sorted(reached.items()):
            if alias in hosts:
                yield from _of_one(stack, person, alias, hosts[alias], needed)


def _of_one(stack: str, person: str, alias: str, host: HostArgs, needed: Any) -> Iterator[str]:
    yield f"{person}, on {alias}"
    if host.host_key:
        known = tunnel_lines.known_host(host.address, host.port, host.host_key)
        yield f"  once, the host's key:  echo '{known}' >> ~/.ssh/known_hosts"
    # Where the lab's engine and state are, a shell knows from that file.
    lab = ". tools/env.sh; " if stack == _LAB else ""
    if needed.get("tls"):
        shown = f"pulumi stack output tunnelCa-{alias} --stack {stack} > ~/.ssh/{alias}-ca.pem"
        yield f"  once, for TLS:         ({lab}{shown})"
    key = ""
    if needed["generatedKey"]:
        key = f"~/.ssh/{needed['account']}-{alias}"
        shown = f"pulumi stack output tunnelKey-{person}-{alias} --stack {stack} --show-secrets > {key}"
        yield f"  once, the key:         ({lab}umask 077; {shown})"
    command = tunnel_lines.command(
        needed["account"], host.address, host.port, opened=needed["forwards"], key=key, jump=_jump(host)
    )
    yield f"  the tunnel:            {command}"
    for name, url in sorted(needed["connect"].items()):
        yield f"  {name + ':':<22} {url}"
        yield f"  {'its password:':<22} {_password(stack, name)}"
    yield ""


def _password(stack: str, name: str) -> str:
    if stack == _LAB:
        return f"make password STORE={name}"
    return f".venv/bin/python -m portcullis.cli.tunnels --stack {stack} --password {name}"


def _jump(host: HostArgs) -> str:
    return tunnel_lines.target(host.jump.address, host.jump.port) if host.jump else ""


def passwords(store: str, outputs: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the logins of a store with their passwords; `store` may name one login, as in "redis-app"."""
    store = store.replace(".", "-")  # as an app's `uses` has it: mongo.shop
    found = {key.removeprefix(_PASSWORD): text for key, text in outputs.items() if key.startswith(_PASSWORD)}
    return sorted(
        (name, text) for name, text in found.items() if name == store or name.startswith(f"{store}-")
    )


def main() -> int:
    """Print the tunnels of a stack, or the passwords of one of its stores."""
    parser = argparse.ArgumentParser(prog="portcullis.cli.tunnels", description=__doc__)
    parser.add_argument("--stack", default=_LAB)
    parser.add_argument("--password", metavar="STORE", help="print the passwords of this store's users")
    given = parser.parse_args()
    try:
        if given.password:
            return _print_passwords(given.password, given.stack)
        outputs = _ask("stack", "output", "--json", "--stack", given.stack)
        config = _ask("config", "--json", "--show-secrets", "--stack", given.stack)
        hosts = of_json(StackArgs, config).hosts
    except (Failed, SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if not outputs.get("tunnels"):
        sys.stderr.write(f"stack {given.stack} has no tunnels: declare portcullis:tunnels and run `up`\n")
        return 1
    print(*lines(given.stack, hosts, outputs["tunnels"]), sep="\n")  # noqa: T201
    return 0


def _print_passwords(store: str, stack: str) -> int:
    outputs = _ask("stack", "output", "--json", "--show-secrets", "--stack", stack)
    found = passwords(store, outputs)
    if not found:
        known = sorted(key.removeprefix(_PASSWORD) for key in outputs if key.startswith(_PASSWORD))
        sys.stderr.write(f"there is no password of {store}; known are {', '.join(known) or 'none'}\n")
        return 1
    if len(found) == 1:
        print(found[0][1])  # noqa: T201
    else:
        print(*(f"{name}: {text}" for name, text in found), sep="\n")  # noqa: T201
    return 0


def _ask(*arguments: str) -> dict[str, Any]:
    done = pulumi(arguments)
    if done.returncode:
        raise Failed(done.stderr.strip())
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


if __name__ == "__main__":
    sys.exit(main())
