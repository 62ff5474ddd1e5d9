"""The commands of `lab.py`."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from lab import acme, catalogue, engine, gateway, hosts, keys, machine, network, registry, scan, stack
from lab.errors import LabError
from lab.places import LIVE
from lab.relay import Relay
from lab.state import load

if TYPE_CHECKING:
    from collections.abc import Callable


def main() -> int:
    """Run one command. An error is printed in one line."""
    arguments = _parser().parse_args()
    verb: Callable[[argparse.Namespace], int] = arguments.verb
    try:
        if verb not in _WITHOUT_A_LOOK:
            machine.reap()
        return verb(arguments)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lab.py", description="Disposable hosts on this machine.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def add(name: str, verb: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        made_ = verbs.add_parser(name, help=text, description=text)
        made_.set_defaults(verb=verb)
        return made_

    up = add("up", _up, "Create hosts, with the network and the registry that they need.")
    up.add_argument("names", nargs="*", default=[machine.DEFAULT_HOST], metavar="NAME")
    up.add_argument("--suite", default=machine.DEFAULT_SUITE, help="Debian suite (default: %(default)s)")
    down = add("down", _down, "Remove hosts. With the last host, everything else goes too.")
    down.add_argument("names", nargs="*", metavar="NAME")
    down.add_argument("--all", action="store_true", help="every host of this checkout")
    ssh = add("ssh", _ssh, "Log in as root, or run a command.")
    ssh.add_argument("name")
    ssh.add_argument("command", nargs=argparse.REMAINDER)
    add("status", _status, "Show what is up.")
    add("reboot", _reboot, "Shut a host down and start it again.").add_argument("name")
    execute = add("exec", _exec, "Run a command in a host, without its sshd and firewall.")
    execute.add_argument("name")
    execute.add_argument("command", nargs=argparse.REMAINDER)
    fetch = add(
        "fetch",
        _fetch,
        "Run curl from the internet (or --from neighbour). Every host name leads to the host. The default is "
        "the demo's page. Another example: lab.py fetch https://shop.example.com/api/items",
    )
    fetch.add_argument("--from", dest="place", choices=["neighbour", "internet"], default="internet")
    fetch.add_argument("--host", default=machine.DEFAULT_HOST, help="the host to ask (default: %(default)s)")
    fetch.add_argument("arguments", nargs=argparse.REMAINDER, metavar="CURL_ARGUMENT")
    write = add("stack", _stack, "Write or update this machine's facts in Pulumi.lab.yaml.")
    write.add_argument("host", nargs="?", default=machine.DEFAULT_HOST, help="(default: %(default)s)")
    image = add(
        "image", _image, "Print the reference of an image, for a host to pull. Build the image if needed."
    )
    image.add_argument(
        "tagged", metavar="NAME:TAG", help=f"one of {', '.join(catalogue.NAMED)}, or a pushed one"
    )
    relay = add("relay", _relay, "Relay TCP to a host with a round trip time, and count. Ctrl-C ends it.")
    relay.add_argument("target", help="ADDRESS:PORT")
    relay.add_argument("--listen", default="127.0.0.1:0", help="ADDRESS:PORT (default: any free port)")
    relay.add_argument("--rtt", type=float, default=50, help="milliseconds added to a round trip")
    add("leftovers", _leftovers, "List everything of the lab on this machine. Fails if there is anything.")
    add("gateway", _gateway, "Serve the hosts' connection to the internet (`up` starts it).")
    asked = add("scan", _scan, "Probe ports from the network of this process (tests start it; see scan.py).")
    asked.add_argument("mark", type=int)
    return parser


def _up(arguments: argparse.Namespace) -> int:
    for name in arguments.names:
        record = machine.up(name, suite=arguments.suite)
        address = network.on_segment(record.number)
        print(f"{name} is up: {address.v4}, {address.v6}")
    return 0


def _down(arguments: argparse.Namespace) -> int:
    if not arguments.names and not arguments.all:
        raise LabError("the command names no host", "write the name of a host, or --all")
    gone = machine.down(None if arguments.all else arguments.names)
    print(f"down: {', '.join(gone)}" if gone else "nothing to remove")
    return 0


def _ssh(arguments: argparse.Namespace) -> int:
    _, record = machine.find(arguments.name)
    argv = machine.ssh_argv(
        record, keys.known_hosts(record.name, network.on_segment(record.number).v4), keys.client_key()
    )
    os.execvp(argv[0], [*argv, *arguments.command])  # noqa: S606


def _status(_: argparse.Namespace) -> int:
    state = load()
    if not state.hosts and not network.exists():
        print("the lab is down")
        return 0
    docker = engine.current(state)
    for record in state.hosts.values():
        print(hosts.summary(docker, record))
    print(f"registry     {registry.NAME}, engine {docker.socket}, {len(state.leases)} test session(s)")
    return 0


def _reboot(arguments: argparse.Namespace) -> int:
    docker, record = machine.find(arguments.name)
    print(f"{record.name} is back after {hosts.reboot(docker, record):.1f} s")
    return 0


def _exec(arguments: argparse.Namespace) -> int:
    docker, record = machine.find(arguments.name)
    argv = hosts.console_argv(docker, record)
    os.execvp(argv[0], [*argv, *(arguments.command or ["bash", "-l"])])  # noqa: S606


def _fetch(arguments: argparse.Namespace) -> int:
    asked = arguments.arguments or ["--include", f"https://{stack.DEMO_SITE}/"]
    _, record = machine.find(arguments.host)
    address = network.on_segment(record.number).v4
    # DNS has no site of the lab, so every name leads to the host. The lab's own authority signs its
    # certificates.
    roots = LIVE / f"roots-{record.name}.pem"
    roots.write_text(acme.of(record).roots())
    known = ["--connect-to", f"::{address}:", "--cacert", str(roots)]
    status, output = machine.fetch(arguments.place, [*known, *asked])
    print(output, end="")
    return status


def _stack(arguments: argparse.Namespace) -> int:
    for line in stack.refresh(arguments.host):
        print(line)
    return 0


def _image(arguments: argparse.Namespace) -> int:
    print(catalogue.reference(arguments.tagged))
    return 0


def _relay(arguments: argparse.Namespace) -> int:
    with Relay(_endpoint(arguments.target), _endpoint(arguments.listen), arguments.rtt / 1000) as relay:
        print(f"listening on {relay.address[0]}:{relay.address[1]}", flush=True)
        try:
            relay.join()
        except KeyboardInterrupt:
            print(relay.counts)
    return 0


def _endpoint(text: str) -> tuple[str, int]:
    address, _, port = text.rpartition(":")
    if not address or not port.isdigit():
        raise LabError(f"the target {text!r} does not have the form ADDRESS:PORT")
    return address.strip("[]"), int(port)


def _leftovers(_: argparse.Namespace) -> int:
    found = machine.leftovers()
    print("\n".join(found) if found else "nothing")
    return 1 if found else 0


def _scan(arguments: argparse.Namespace) -> int:
    scan.answer(arguments.mark)
    return 0


def _gateway(_: argparse.Namespace) -> int:
    gateway.serve()
    return 0


# Verbs that the lab itself starts, and the verb that only lists.
_WITHOUT_A_LOOK = (_gateway, _scan, _leftovers)
