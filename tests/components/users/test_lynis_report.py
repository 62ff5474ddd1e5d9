"""The data that the tests take from the log of Lynis, and the waivers."""

from __future__ import annotations

from tests.e2e.access import lynis

LOG = """\
2026-01-01 00:00:00 Performing test ID SSH-7408 (Check SSH specific defined options)
2026-01-01 00:00:00 Test: Checking MaxSessions in /tmp/lynis-ssh.abc
2026-01-01 00:00:00 Hardening: assigned partial number of hardening points (0 of 3).
2026-01-01 00:00:00 Test: Checking UseDNS in /tmp/lynis-ssh.abc
2026-01-01 00:00:00 Hardening: assigned maximum number of hardening points for this item (3).
2026-01-01 00:00:00 Performing test ID KRNL-6000 (Check sysctl key pairs in scan profile)
2026-01-01 00:00:00 Result: sysctl key fs.protected_fifos has a different value than expected in scan profile.
2026-01-01 00:00:00 Hardening: assigned partial number of hardening points (0 of 1).
2026-01-01 00:00:00 Performing test ID USB-3000 (Check for presence of USBGuard)
2026-01-01 00:00:00 Hardening: assigned partial number of hardening points (1 of 8).
"""


def test_lost_points_have_the_names_that_waivers_use() -> None:
    report = lynis.parse(LOG, "hardening_index=59\nwarning[]=PKGS-7388|Can't find any|-|-|\n")
    assert report.index == 59
    assert report.lost == {"SSH-7408:maxsessions": 3, "KRNL-6000:fs.protected_fifos": 1, "USB-3000": 7}
    assert report.warnings == ("PKGS-7388",)


def test_every_waiver_has_a_reason_and_occurs_once() -> None:
    waived = lynis.waivers()
    assert all(waiver.reason.endswith(".") for waiver in waived)
    assert len({waiver.test for waiver in waived}) == len(waived)
    assert "skip-test=USB-3000\n" in lynis.profile(waived)
