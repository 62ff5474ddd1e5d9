"""Scan every host of a stack from outside, and compare the result with what the settings declare.

`scan` scans only the addresses that the settings contain. With raw packets, the scan does not connect to the
SSH port. Without raw packets, it connects to the SSH port once.

Exit code 0: open ports and certificates are as declared. Exit code 1: a port or certificate is not as
declared. Exit code 2: a host could not be scanned, or the result could not be written.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from portcullis.cli import command
from portcullis.cli.scan import probe, report, syn, vantage
from portcullis.cli.scan.verdict import Verdict, compare
from portcullis.components.host.declared import LAST_PORT, Declared, declared_path
from portcullis.printable import one_line, printable_values

_ERROR = 2
Ranges = list[tuple[int, int]]


class Stopped(Exception):
    """No host was scanned. The error's text gives the reason."""


def run(options: argparse.Namespace) -> int:
    """Scan the hosts, print the table and return the exit code."""
    try:
        roots = options.roots.read_text() if options.roots else ""
        verdicts = [
            ask(host, options, roots)
            for host in (_given(options) if options.declared else _of_stack(options))
        ]
        _tell(verdicts, options)
    except (Stopped, command.Failed, vantage.VantageFailed, OSError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return _ERROR
    return report.status(verdicts)


def _tell(verdicts: list[Verdict], options: argparse.Namespace) -> None:
    """Print the result, then write it to the file of --json.

    If the file cannot be written, people have still seen the table.
    """
    text = json.dumps(report.as_json(verdicts), indent=2)
    if options.json == "-":
        print(text)  # noqa: T201 - a command-line program
        return
    short = options.quiet and report.status(verdicts) == 0
    shown = report.summary(verdicts) if short else report.table(verdicts, _spelled(options.ports))
    print(shown)  # noqa: T201
    if options.json:
        Path(options.json).write_text(text + "\n")


def question(declared: Declared, options: argparse.Namespace, roots: str) -> dict[str, Any]:
    """Return the question that the probe answers about one host."""
    covered = any(first <= declared.ssh <= last for first, last in options.ports)
    return {
        "addresses": list(declared.addresses),
        "families": options.family or [4, 6],
        # The SSH port is always asked: its answer proves that the host was reached.
        "ports": [*options.ports, *([] if covered else [(declared.ssh, declared.ssh)])],
        "ssh": declared.ssh,
        "sites": list(declared.sites),
        "page": declared.page,
        "roots": roots,
        "method": options.method,
        "rate": options.rate,
    }


def ask(declared: Declared, options: argparse.Namespace, roots: str) -> Verdict:
    """Scan one host and compare its answer with its declaration."""
    if options.method == "syn" and not options.origin and not syn.possible():
        raise Stopped(
            "`--method syn` sends raw packets, which need root: run the scan with sudo, or leave out "
            "`--method`"
        )
    asked = question(declared, options, roots)
    if sys.stderr.isatty():
        # The scan takes half a minute or more, and prints nothing before its end.
        families = " and ".join(f"IPv{family}" for family in asked["families"])
        sys.stderr.write(f"scanning {_spelled(options.ports)} of {declared.host} over {families}…\n")
    if options.origin:
        answer = vantage.answer(asked, options.origin, ("ssh", *options.ssh))
    else:
        answer = probe.answer(asked)
    return compare(declared, printable_values(answer, show=one_line), asked["ports"])


def _given(options: argparse.Namespace) -> list[Declared]:
    """Return the declared hosts from the file that a deploy writes."""
    text = sys.stdin.read() if options.declared == "-" else Path(options.declared).read_text()
    return _chosen(_read(text, options.declared), options.host, options.declared)


def _read(text: str, source: str) -> list[Declared]:
    try:
        hosts = [Declared.read(each) for each in json.loads(text)]
    except (KeyError, TypeError, ValueError) as error:
        cause = f"{type(error).__name__}: {error}"
        raise Stopped(f"{source} does not have the form that `up` writes: {cause}") from None
    if not hosts:
        raise Stopped(f"{source} declares no host: run `up` first, or leave out --declared")
    return hosts


def _chosen(hosts: list[Declared], alias: str, source: str) -> list[Declared]:
    if alias and alias not in {host.host for host in hosts}:
        known = ", ".join(host.host for host in hosts)
        raise Stopped(f"{source} has no host {alias}; it has {known}")
    return [host for host in hosts if alias in ("", host.host)]


def _of_stack(options: argparse.Namespace) -> list[Declared]:
    # Imported here, because a scan in a deploy needs no settings and none of the packages that settings
    # import.
    from portcullis.components.host.declared import declared  # noqa: PLC0415
    from portcullis.components.host.stack import StackArgs  # noqa: PLC0415
    from portcullis.config.faults import SettingsError  # noqa: PLC0415
    from portcullis.config.sources import of_json  # noqa: PLC0415

    stack = command.stack_of(options.stack)
    values = command.settings(stack)
    left = declared_path(stack)
    if "portcullis:hosts" not in values and left.exists():
        # The user's own program declares its hosts in code. `up` writes the declared ports and sites into
        # this file.
        return _chosen(_read(left.read_text(), str(left)), options.host, str(left))
    try:
        settings = of_json(StackArgs, values)
    except SettingsError as error:
        raise Stopped(str(error)) from None
    hosts = [declared(alias, settings.host_args(alias)) for alias in settings.hosts]
    return _chosen(hosts, options.host, f"stack {stack}")


def _spelled(ports: Ranges) -> str:
    if ports == [(1, LAST_PORT)]:
        return "all ports"
    return "ports " + ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ports)


def _ports(text: str) -> Ranges:
    found = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise argparse.ArgumentTypeError(
                f"{part!r} is not a port or a range of ports; write, for example, 1-1024,8080"
            )
        low, high = int(first), int(last or first)
        if not 1 <= low <= high <= LAST_PORT:
            raise argparse.ArgumentTypeError(f"the port {part!r} is not between 1 and {LAST_PORT}")
        found.append((low, high))
    return found


def _rate(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(
            f"the rate {text!r} is not a number of packets per second; write 1 or more"
        )
    return int(text)


def _file(text: str) -> str:
    """Return the absolute path of a file. The name "-" for standard input or output stays unchanged."""
    return text if text == "-" else str(command.place(text))


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    command.add_stack(parser)
    parser.add_argument("--host", default="", metavar="ALIAS", help="scan only this host of the stack")
    parser.add_argument(
        "--from", dest="origin", default="", metavar="SSHHOST", help="scan from this machine, over ssh"
    )
    parser.add_argument(
        "--ssh", action="append", default=[], metavar="ARGUMENT",
        help="an argument of ssh for --from, such as --ssh=-F --ssh=FILE",
    )  # fmt: skip
    parser.add_argument(
        "--ports", type=_ports, default=[(1, LAST_PORT)], help="ports such as 1-1024,8080 (default: all)"
    )
    parser.add_argument("--family", type=int, action="append", choices=[4, 6], help="only IPv4 or only IPv6")
    parser.add_argument(
        "--method", choices=["auto", "syn", "connect"], default="auto",
        help="syn: raw packets, which need root; connect: full connections; auto: syn if possible",
    )  # fmt: skip
    parser.add_argument("--rate", type=_rate, default=syn.RATE, help="SYN packets per second (%(default)s)")
    parser.add_argument("--roots", type=command.place, help="a PEM file with more root certificates to trust")
    parser.add_argument(
        "--json", type=_file, metavar="FILE", help="also write JSON to this file; - prints only the JSON"
    )
    parser.add_argument("--quiet", action="store_true", help="print one line if everything is as declared")
    parser.add_argument(
        "--declared", type=_file, metavar="FILE",
        help="read what is declared from this file, as `up` writes it into .portcullis/STACK; - reads stdin",
    )  # fmt: skip
