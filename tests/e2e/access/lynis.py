"""Runs Lynis, a program that audits hosts, and reads its report. `waivers.toml` has the waived tests."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.pytest_lab import Host

WAIVERS = Path(__file__).with_name("waivers.toml")
PROFILE = "/etc/lynis/custom.prf"
_AUDIT = "lynis audit system --quick --no-colors"


@dataclass(frozen=True, slots=True)
class Waiver:
    """A waiver for a test of Lynis, or for one option of the test, with the reason."""

    test: str
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one audit by Lynis.

    Attributes:
        index: the hardening index that Lynis prints.
        lost: the points that each test took away, by the id of a waiver. An id names a test, or one option of
            a test, such as `SSH-7408:maxsessions`.
        warnings: the warnings of Lynis, without its suggestions.
    """

    index: int
    lost: Counter[str] = field(default_factory=Counter)
    warnings: tuple[str, ...] = ()


def waivers() -> list[Waiver]:
    """Return the waivers in waivers.toml."""
    return [Waiver(**entry) for entry in tomllib.loads(WAIVERS.read_text())["waived"]]


def profile(waived: Sequence[Waiver]) -> str:
    """Render the profile that makes Lynis skip the waived tests."""
    return "".join(f"# {waiver.reason}\nskip-test={waiver.test}\n" for waiver in waived)


def audit(host: Host, waived: Sequence[Waiver] = ()) -> Report:
    """Run Lynis on a host that has it, without what is waived."""
    host.write(PROFILE, profile(waived))
    host.run("rm -f /var/log/lynis.log /var/log/lynis-report.dat")
    host.run(f"{_AUDIT} >/dev/null 2>&1")
    return parse(host.read("/var/log/lynis.log"), host.read("/var/log/lynis-report.dat"))


# Some tests check many options. The log names the option in these lines.
_ONE = re.compile(r"Test: Checking (\S+) in \S*(?:ssh|lynis)|sysctl key (\S+) ")
_POINTS = re.compile(r"assigned partial number of hardening points \((\d+) of (\d+)\)")


def parse(log: str, report: str) -> Report:
    """Return the result from the log and the report file of Lynis."""
    lost: Counter[str] = Counter()
    test, one = "", ""
    for line in log.splitlines():
        if found := re.search(r"Performing test ID (\S+)", line):
            test, one = found[1], ""
        elif found := _ONE.search(line):
            one = (found[1] or found[2]).lower()
        elif found := _POINTS.search(line):
            many = test in ("SSH-7408", "KRNL-6000")
            lost[f"{test}:{one}" if many else test] += int(found[2]) - int(found[1])
    index = re.search(r"^hardening_index=(\d+)$", report, re.MULTILINE)
    assert index, report[-500:]
    return Report(
        int(index[1]),
        Counter({name: points for name, points in lost.items() if points}),
        tuple(re.findall(r"^warning\[\]=([^|]+)\|", report, re.MULTILINE)),
    )
