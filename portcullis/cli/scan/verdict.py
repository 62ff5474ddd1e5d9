"""Compare the result of a scan with the declaration: each port and certificate, and its faults.

The functions do no I/O.
"""

from __future__ import annotations

import ipaddress
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from portcullis.cli.scan.certificates import days_left
from portcullis.cli.scan.greetings import OPEN
from portcullis.cli.scan.probe import GREETED
from portcullis.components.host.declared import PUBLIC, Declared, Opening

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Ports = list[tuple[int, int]]
OK, WARN, FAIL = "ok", "warn", "FAIL"
_EVERYTHING = 1000
"""A real host has at most this many open ports.

If more ports answer, a device in front of the host answers for the host.
"""
_SOURCES = 3
"""A line of the table lists at most this many addresses."""
_LATE = 1 / 6
"""A fraction of a certificate's lifetime.

If a smaller part of the lifetime is left, the renewal has been failing for some time.
"""


@dataclass(frozen=True)
class Row:
    """One line of the scan's table."""

    mark: str
    what: str
    state: str
    declared: str
    answers: str


@dataclass(frozen=True)
class Fault:
    """One fault: its place, its cause, and a remedy. `mark` is WARN or FAIL."""

    mark: str
    where: str
    what: str
    hint: str

    def __str__(self) -> str:
        """Return the fault on one line, and the hint on the next."""
        return f"{self.where}: {self.what}\n    {self.hint}"


@dataclass
class Verdict:
    """The result of the scan for one host."""

    host: str
    origin: str
    method: str
    tables: dict[str, list[Row]] = field(default_factory=dict)
    counts: dict[str, str] = field(default_factory=dict)
    certificates: list[Row] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    unreached: str = ""

    @property
    def failed(self) -> bool:
        """Whether a port or certificate is not as declared."""
        return any(fault.mark == FAIL for fault in self.faults)

    def add(self, mark: str, where: str, what: str, hint: str) -> None:
        """Add a fault at an address or name of the host."""
        self.faults.append(Fault(mark, f"{self.host} {where}".strip(), what, hint))


def compare(declared: Declared, answer: Mapping[str, Any], ports: Ports, now: float | None = None) -> Verdict:
    """Compare the answers of one host with its declaration.

    Args:
        declared: the ports and certificates that the host should have.
        answer: the result of `probe.answer`.
        ports: the ranges that were scanned.
        now: the current time, for certificates.
    """
    verdict = Verdict(declared.host, answer["from"], answer["method"])
    for name in answer["unresolved"]:
        verdict.add(
            WARN, name, f"cannot be resolved on {answer['from']}", "check the DNS records of the name"
        )
    asked = {where: found for where, found in answer["addresses"].items() if found["source"] is not None}
    for where in answer["addresses"]:
        if where not in asked:
            verdict.counts[where] = "not scanned: no route"
            family = "IPv6" if ":" in where else "IPv4"
            what = f"was not scanned: {answer['from']} has no route to it"
            verdict.add(WARN, where, what, f"scan from a machine that has {family}: --from ANOTHER-SSH-HOST")
    if not any(found["open"] for found in asked.values()):
        verdict.unreached = _unreached(declared, answer)
        return verdict
    for where, found in asked.items():
        _address(verdict, declared, where, found, ports)
    for opening in declared.openings:
        silent = not any(opening.first in found["open"] for found in asked.values())
        if opening.answers == "any" and silent and _asked(opening.first, ports):
            verdict.add(FAIL, "", *_silent(declared, opening))
    _certificates(verdict, declared, asked, time.time() if now is None else now)
    return verdict


def _unreached(declared: Declared, answer: Mapping[str, Any]) -> str:
    where = ", ".join(answer["addresses"]) or ", ".join(declared.addresses)
    return (
        f"{declared.host}: nothing answers at {where}, scanned from {answer['from']}, not even SSH on port "
        f"{declared.ssh}. So nobody knows which ports are open.\n"
        "    Check that the address is right, that the host is up, and that it has not banned this machine "
        "(fail2ban-client banned). A network that lets nothing out looks the same: try "
        "--from ANOTHER-SSH-HOST."
    )


def _address(
    verdict: Verdict, declared: Declared, where: str, found: Mapping[str, Any], ports: Ports
) -> None:
    opened, rows = found["open"], verdict.tables.setdefault(where, [])
    verdict.counts[where] = f"{found['refused']} refused, {found['silent']} silent"
    if len(opened) > _EVERYTHING:
        what = f"answers on {len(opened)} ports: a device in front of the host answers for it"
        hint = "scan from another machine with --from, or with full connections: --method connect"
        verdict.add(FAIL, where, what, hint)
        return
    if not opened:
        hint = (
            "if the host has this address, check its network and the provider's firewall; if not, remove the "
            f"address from portcullis:hosts.{declared.host}"
        )
        verdict.add(FAIL, where, "nothing answers, but another address of the host does", hint)
        return
    if len(opened) > GREETED:
        what = (
            f"answers on {len(opened)} ports, so only the SSH port was asked for its protocol. A store that "
            "serves everybody would go unnoticed"
        )
        hint = f"scan fewer ports with --ports: up to {GREETED} open ports are asked for their protocol"
        verdict.add(WARN, where, what, hint)
    for port in opened:
        rows.append(_opened(verdict, declared, where, port, found))
    for opening in declared.openings:
        if opening.answers == "every" and opening.first not in opened and _asked(opening.first, ports):
            rows.append(Row(FAIL, f"{opening.first}/tcp", "no answer", opening.why, ""))
            verdict.add(FAIL, where, *_silent(declared, opening))
        elif opening.sources and opening.first not in opened and _asked(opening.first, ports):
            # This machine cannot tell whether the port's program listens, and does not need to know.
            state = "no answer" if _is_one_of(found["source"], opening.sources) else "closed to us"
            rows.append(
                Row(OK, _spelled(opening), state, f"{opening.why}, only for {_some(opening.sources)}", "")
            )
    rows.sort(key=lambda row: int(row.what.partition("/")[0].partition("-")[0]))


def _spelled(opening: Opening) -> str:
    ports = str(opening.first) if opening.first == opening.last else f"{opening.first}-{opening.last}"
    return f"{ports}/tcp"


def _some(sources: tuple[str, ...]) -> str:
    more = len(sources) - _SOURCES
    return ", ".join(sources[:_SOURCES]) + (f" and {more} more" if more > 0 else "")


def _opened(verdict: Verdict, declared: Declared, where: str, port: int, found: Mapping[str, Any]) -> Row:
    greeting = found["greetings"].get(str(port), {})
    speaks, said, access = (greeting.get(key, "") for key in ("speaks", "said", "access"))
    answers = ": ".join(filter(None, (speaks, said)))
    answers += f", {access}" if access and speaks != "ssh" else ""
    opening = _covering(declared, port)
    what, mark = f"{port}/tcp", OK
    if opening is None:
        mark = FAIL
        hint = (
            f"on the host, `ss -ltnp 'sport = :{port}'` and `docker ps --filter publish={port}` show what "
            f"listens: stop it, or declare it under portcullis:hosts.{declared.host}.firewall.allow "
            "(a program) or .public (a container)"
        )
        also = f"; {answers}" if answers else ""
        verdict.add(FAIL, where, f"port {what} is open and nobody declared it{also}", hint)
    elif opening.sources and not _is_one_of(found["source"], opening.sources):
        only = f"{opening.place} allows only {', '.join(opening.sources)}"
        fault = f"port {what} is open to {found['source']}, but {only}"
        if ipaddress.ip_address(found["source"]).is_global:
            mark = FAIL
            hint = "`ufw status` and `nft list table inet portcullis` on the host show which rule opens it"
        else:
            # Behind a router, the host sees the router's address, which is unknown here.
            mark = WARN
            fault += ". Behind a router, the host may see an address of ours that it allows"
            hint = "scan from a machine with a public address to be sure: --from ANOTHER-SSH-HOST"
        verdict.add(mark, where, fault, hint)
    if access == OPEN:
        mark = FAIL
        hint = "close the port first, then add users; somebody may have read and changed the data already"
        verdict.add(
            FAIL, where, f"{speaks} on port {what} serves everybody without credentials ({said})", hint
        )
    return Row(mark, what, "open", opening.why if opening else "nobody declared it", answers)


def _silent(declared: Declared, opening: Opening) -> tuple[str, str]:
    port = opening.first
    if port == declared.ssh:
        hint = f"check `systemctl status ssh` on the host, its port {port}, and the provider's firewall"
    elif opening.place.startswith("portcullis:sites"):
        hint = "check `systemctl status nginx` and `ufw status` on the host, and the provider's firewall"
    else:
        hint = (
            f"start the program that should listen, or remove {opening.place}: any program can listen there"
        )
    return f"port {port}/tcp is declared ({opening.why}) but does not answer", hint


def _certificates(verdict: Verdict, declared: Declared, asked: Mapping[str, Any], now: float) -> None:
    """List each certificate. If several certificates have the same fault, report that fault once."""
    wrong: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    for where, found in asked.items():
        for name, shown in found["certificates"].items():
            faults = list(_certificate_faults(shown, declared.authority.get(name, PUBLIC), now))
            mark = max((mark for mark, _, _ in faults), key=(OK, WARN, FAIL).index, default=OK)
            left = f"{days_left(shown['ends'], now)} days left" if shown["ends"] else ""
            answers = ", ".join(filter(None, (shown["issuer"], left)))
            state = "trusted" if shown["trusted"] else shown["fault"]
            verdict.certificates.append(Row(mark, name, state, where, answers))
            for fault in faults:
                wrong.setdefault(fault, []).append((where, name))
    for (mark, what, hint), places in wrong.items():
        addresses = dict.fromkeys(where for where, _ in places)
        names = dict.fromkeys(name for _, name in places)
        verdict.add(mark, ", ".join([*addresses, *names]), what, hint)


def _certificate_faults(
    shown: Mapping[str, Any], authority: str, now: float
) -> Iterator[tuple[str, str, str]]:
    if not shown["ends"]:
        yield FAIL, shown["fault"], "check `nginx -T` on the host, and that the name points to the host"
        return
    lifetime, left = shown["ends"] - shown["begins"], shown["ends"] - now
    days = days_left(shown["ends"], now)
    renewal = "`systemctl status certbot.timer` and `certbot renew` on the host show why it was not renewed"
    if left <= 0:
        yield FAIL, f"the certificate ended {-days} days ago", renewal
    elif left < lifetime * _LATE:
        yield WARN, f"the certificate ends in {days} days", renewal
    if not shown["names_it"]:
        yield FAIL, "the certificate is for other names", "check that the last `up` succeeded"
    elif not shown["trusted"] and left > 0:
        if authority == PUBLIC:
            hint = "check that nginx serves the whole chain (fullchain.pem)"
            yield FAIL, f"browsers do not trust the certificate: {shown['fault']}", hint
        else:
            what = f"the certificate is {authority}: {shown['fault']}"
            yield WARN, what, "use --roots FILE to check the chain with your own root certificate"


def _covering(declared: Declared, port: int) -> Opening | None:
    """Return the declared opening that includes a port, or None if no opening does.

    If several openings declare the port, an opening for everybody wins. Otherwise, the result allows each
    source that at least one of these openings allows.
    """
    found = [each for each in declared.openings if each.covers(port)]
    if not found or not all(each.sources for each in found):
        return next((each for each in found if not each.sources), None)
    return replace(
        found[0],
        why="; ".join(dict.fromkeys(each.why for each in found)),
        place=" and ".join(each.place for each in found),
        sources=tuple(dict.fromkeys(source for each in found for source in each.sources)),
    )


def _is_one_of(source: str, sources: tuple[str, ...]) -> bool:
    """Return whether an address is one of the sources, or in one of their networks."""
    ours = ipaddress.ip_address(source)
    networks = [ipaddress.ip_network(each, strict=False) for each in sources]
    return any(ours in network for network in networks if network.version == ours.version)


def _asked(port: int, ports: Ports) -> bool:
    return any(first <= port <= last for first, last in ports)
