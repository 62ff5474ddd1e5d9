"""The result of a scan as a table for people, and as JSON for programs. The functions do no I/O."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from portcullis.cli.scan.verdict import FAIL, OK, WARN, Row, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_METHODS = {"syn": "raw SYN packets", "connect": "full connections"}


def table(verdicts: Sequence[Verdict], ports: str = "all ports") -> str:
    """Return the table of each host, then the faults of each host, then the result on one line."""
    lines: list[str] = []
    for verdict in verdicts:
        lines += [*_host(verdict, ports), ""]
    for verdict in verdicts:
        if verdict.unreached:
            lines += [f"error: {verdict.unreached}", ""]
        for fault in sorted(verdict.faults, key=lambda each: each.mark != FAIL):
            lines += [f"{fault.mark}: {fault}", ""]
    return "\n".join([*lines, summary(verdicts)])


def summary(verdicts: Sequence[Verdict]) -> str:
    """Return the result of the scan in one line."""
    unreached = [verdict.host for verdict in verdicts if verdict.unreached]
    faults = [fault for verdict in verdicts for fault in verdict.faults]
    failed, warned = (sum(fault.mark == mark for fault in faults) for mark in (FAIL, WARN))
    parts = []
    if failed:
        parts.append(f"{failed} fault{'s' * (failed != 1)}")
    if unreached:
        parts.append(f"not reached: {', '.join(unreached)}")
    if not parts:
        parts.append("open ports and certificates are as declared")
    if warned:
        parts.append(f"{warned} warning{'s' * (warned != 1)}")
    return "; ".join(parts)


def as_json(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Return everything that the table shows, by host."""
    return {
        "result": status(verdicts),
        "hosts": {
            verdict.host: {
                "from": verdict.origin,
                "method": verdict.method,
                "unreached": verdict.unreached,
                "addresses": {where: [asdict(row) for row in rows] for where, rows in verdict.tables.items()},
                "counts": verdict.counts,
                "certificates": [asdict(row) for row in verdict.certificates],
                "faults": [asdict(fault) for fault in verdict.faults],
            }
            for verdict in verdicts
        },
    }


def status(verdicts: Sequence[Verdict]) -> int:
    """Return the exit code: 0 if all is as declared, 1 if not, 2 if a host could not be scanned."""
    if any(verdict.failed for verdict in verdicts):
        return 1
    return 2 if any(verdict.unreached for verdict in verdicts) else 0


def _host(verdict: Verdict, ports: str) -> Iterator[str]:
    yield f"{verdict.host}, {ports} scanned from {verdict.origin} with {_METHODS[verdict.method]}"
    for where, counts in verdict.counts.items():
        yield f"  {where}  ({counts})"
        yield from _rows(verdict.tables.get(where, []))
    if verdict.certificates:
        yield "  certificates"
        yield from _rows(verdict.certificates)


def _rows(rows: Sequence[Row]) -> Iterator[str]:
    cells = [
        (row.mark if row.mark != OK else "ok", row.what, row.state, row.declared, row.answers) for row in rows
    ]
    widths = [max(len(cell[column]) for cell in cells) for column in range(5)] if cells else []
    for cell in cells:
        yield "    " + "  ".join(text.ljust(width) for text, width in zip(cell, widths, strict=True)).rstrip()
