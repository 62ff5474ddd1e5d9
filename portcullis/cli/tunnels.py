"""Print the commands that people paste into a shell on their own machine to reach the stores of a stack.

`tunnels` changes nothing.

`tunnels` reads the addresses of hosts from the settings, because the state does not have them.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from portcullis.cli import command
from portcullis.components.host.stack import StackArgs
from portcullis.components.tunnels.render import tunnel_lines
from portcullis.config.faults import SettingsError
from portcullis.config.sources import of_json

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from portcullis.components.host.args import HostArgs

_LAB = "lab"
_OWN_PROGRAM = (
    "this verb reads the addresses there. For a program of your own, docs/tunnels.md has the commands"
)


def lines(stack: str, hosts: Mapping[str, HostArgs], tunnels: Mapping[str, Any]) -> Iterator[str]:
    """Yield the commands of each person, in lines for people.

    Args:
        stack: the stack's name.
        hosts: the hosts of the settings, by alias.
        tunnels: the stack's output `tunnels`: what a tunnel needs, by person and host.
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
    # tools/env.sh tells a shell where the lab's engine and state are.
    lab = ". tools/env.sh; " if stack == _LAB else ""
    if needed.get("tls"):
        shown = f"pulumi stack output tunnelCa-{alias} --stack {stack} > ~/.ssh/{alias}-ca.pem"
        yield f"  once, for TLS:         ({lab}{shown})"
    key = ""
    if needed["generatedKey"]:
        key = f"~/.ssh/{needed['account']}-{alias}"
        shown = f"pulumi stack output tunnelKey-{person}-{alias} --stack {stack} --show-secrets > {key}"
        yield f"  once, the key:         ({lab}umask 077; {shown})"
    tunnel = tunnel_lines.command(
        needed["account"], host.address, host.port, opened=needed["forwards"], key=key, jump=_jump(host)
    )
    yield f"  the tunnel:            {tunnel}"
    for name, url in sorted(needed["connect"].items()):
        yield f"  {name + ':':<22} {url}"
        yield f"  {'its password:':<22} {command.spelled(stack, 'password', name)}"
    yield ""


def _jump(host: HostArgs) -> str:
    return tunnel_lines.target(host.jump.address, host.jump.port) if host.jump else ""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    command.add_stack(parser)


def run(options: argparse.Namespace) -> int:
    """Print the tunnels of a stack."""
    stack = command.stack_of(options.stack)
    outputs = json.loads(command.answer("stack", "output", "--json", "--stack", stack))
    values = command.settings(stack)
    if "portcullis:hosts" not in values:
        sys.stderr.write(f"stack {stack} has no portcullis:hosts in its settings: {_OWN_PROGRAM}\n")
        return 1
    try:
        hosts = of_json(StackArgs, values).hosts
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if not outputs.get("tunnels"):
        sys.stderr.write(f"stack {stack} has no tunnels: declare portcullis:tunnels and run `up`\n")
        return 1
    print(*lines(stack, hosts, outputs["tunnels"]), sep="\n")  # noqa: T201
    return 0
