"""Logins that are read from the log lines of sshd on Debian 12 and 13. Forged lines do not count."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.agent.errors import AgentError
from portcullis.components.inventory.on_host import who
from tests.components.inventory.looking import record

if TYPE_CHECKING:
    from tests.components.inventory.looking import Host

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq"
BOOT = "0123456789abcdef0123456789abcdef"
NOW = 1795766412.0  # 2026-11-27T08:00:12Z


def fingerprint() -> str:
    (found,) = who.key_names([record("users.users", "x", keys={"x": KEY})])
    return found


SHA = fingerprint()
ACCEPTED = f"Accepted publickey for deploy from 203.0.113.77 port 50022 ssh2: ED25519 {SHA}"
CLOSED = "pam_unix(sshd:session): session closed for user deploy"


@pytest.fixture
def logged(host: Host) -> Host:
    host.write("proc/stat", f"cpu  1 2 3\nbtime {int(NOW) - 6000}\n")
    ticks = 1000 * os.sysconf("SC_CLK_TCK")
    for pid in (2, 700, 701, 800):
        host.write(f"proc/{pid}/comm", "sshd-session\n")
    host.write("proc/1/stat", f"1 (sys) md) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 {ticks} 9 9\n")
    host.records.append(record("users.users", "deploy", keys={"laptop": f"{KEY} me@laptop"}))
    return host


def line(message: Any, at: float, pid: int = 700, **fields: str | None) -> str:
    known = {"_EXE": "/usr/lib/openssh/sshd-session", "_BOOT_ID": BOOT, **fields}
    time = str(int((NOW + at) * 10**6))
    return json.dumps({"__REALTIME_TIMESTAMP": time, "MESSAGE": message, "_PID": str(pid), **known})


def say(host: Host, *lines: str) -> None:
    host.says["journalctl"] = "".join(f"{one}\n" for one in lines)


def told(host: Host, since: float = -1000) -> list[tuple[str, str, str, float, float | None]]:
    found = who.logins(host.look(), NOW + since)
    return [
        (one.user, one.key_name, one.address, one.start - NOW, None if one.end is None else one.end - NOW)
        for one in found
    ]


def test_a_finished_login_and_an_open_one(logged: Host) -> None:
    say(
        logged,
        line(ACCEPTED, -60),
        line(CLOSED, 0),
        line(ACCEPTED.replace("deploy", "root"), 5, pid=800),
        line(CLOSED, 9, pid=900),  # the journal does not have the start of this login
    )
    assert told(logged) == [
        ("deploy", "laptop", "203.0.113.77", -60, 1),
        ("root", "laptop", "203.0.113.77", 5, None),
    ]
    (asked,) = logged.calls
    assert f"--since=@{int(NOW - 1000 - 7 * 86400)}" in asked
    assert "_UID=0 SYSLOG_IDENTIFIER=sshd SYSLOG_IDENTIFIER=sshd-session" in asked


def test_the_sshd_of_debian_12_and_a_session_without_pam(logged: Host) -> None:
    old = {"_EXE": "/usr/sbin/sshd"}
    say(
        logged,
        line(ACCEPTED, -60, **old),
        line("Disconnected from user deploy 203.0.113.77 port 50099", -50, pid=701, **old),
        line("Disconnected from user deploy 203.0.113.77 port 50022", -40, pid=701, **old),
    )
    assert told(logged) == [("deploy", "laptop", "203.0.113.77", -60, -39)]


def test_an_unknown_key_and_a_password(logged: Host) -> None:
    other = ACCEPTED.replace(SHA, "SHA256:abc+/1")
    say(logged, line(other, 0), line("Accepted password for root from 2001:db8::5 port 1 ssh2", 1, pid=2))
    assert told(logged) == [
        ("deploy", "SHA256:abc+/1", "203.0.113.77", 0, None),
        ("root", "none, by password", "2001:db8::5", 1, None),
    ]


def test_lines_of_other_programs_do_not_count(logged: Host) -> None:
    say(
        logged,
        line(ACCEPTED, 0, _EXE="/usr/bin/logger"),
        line([65, 99, 99], 1),
        "no JSON",
        '{"MESSAGE": "Accepted publickey"}',
        line(f"Invalid user {ACCEPTED}", 2),
    )
    assert told(logged) == []


def test_the_end_of_a_login_counts_although_the_journal_lost_its_program(logged: Host) -> None:
    lost = {"_EXE": None}
    say(
        logged,
        line(ACCEPTED, -60),
        line(CLOSED, -50, **lost),
        line(ACCEPTED, -40, pid=800, **lost),  # a line whose program is unknown is no login
    )
    assert told(logged) == [("deploy", "laptop", "203.0.113.77", -60, -49)]


def test_a_login_without_a_known_end_ends_at_its_start(logged: Host) -> None:
    (logged.root / "proc/700/comm").write_text("bash\n")  # another process has the id of the session now
    say(logged, line(ACCEPTED, -60))
    assert told(logged) == [("deploy", "laptop", "203.0.113.77", -60, -59)]
    (logged.root / "proc/700/comm").unlink()
    assert told(logged) == [("deploy", "laptop", "203.0.113.77", -60, -59)]


def test_a_reboot_ends_open_logins(logged: Host) -> None:
    # The journal uses the kernel's boot id. It stays the same if a host that is a container restarts.
    say(logged, line(ACCEPTED, -9000), line(ACCEPTED, -10, pid=701))
    assert told(logged, since=-9500) == [
        ("deploy", "laptop", "203.0.113.77", -9000, -4999),
        ("deploy", "laptop", "203.0.113.77", -10, None),
    ]


def test_a_reused_process_id_ends_the_former_login(logged: Host) -> None:
    say(logged, line(ACCEPTED, -60), line(ACCEPTED.replace("50022", "50023"), -20), line(CLOSED, -10))
    assert [(start, end) for *_, start, end in told(logged)] == [(-60, -19), (-20, -9)]


def test_logins_that_ended_earlier_are_left_out(logged: Host) -> None:
    say(logged, line(ACCEPTED, -60), line(CLOSED, -50))
    assert told(logged, since=-10) == []
    assert told(logged, since=-55) != []


def test_lines_are_sorted_by_time(logged: Host) -> None:
    say(logged, line(CLOSED, 0), line(ACCEPTED, -60))
    assert [(start, end) for *_, start, end in told(logged)] == [(-60, 1)]


def test_without_a_journal_nobody_is_named(logged: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise AgentError("invalid", "there is no program journalctl on the host")

    monkeypatch.setattr(type(logged), "run", missing)
    assert who.logins(logged.look(), NOW) == []


def test_the_names_of_keys_come_from_declared_users() -> None:
    records = [
        record("users.users", "deploy", keys={"laptop": f'from="10.0.0.1" {KEY} me', "broken": "ssh-x"}),
        record("file", "/etc/motd", keys={"no": KEY}),
    ]
    assert who.key_names(records) == {SHA: "laptop"}
