"""Tests fail2ban on a real host. After some failed logins at sshd, the packet filter blocks the client."""

from __future__ import annotations

import json
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from lab import network
from lab.shell import run
from portcullis.components.fail2ban.jail_options import SSH_JOURNAL
from tests.e2e.host.watch import wait_for
from tests.e2e.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lab.pytest_lab import Host, Lab

WEEK = 604800
PEER = network.MACHINE_ADDRESS.v4
DECLARED = network.INTERNET_ADDRESS
ATTACKER = network.NEIGHBOUR_ADDRESS
PROGRAM = """
from portcullis.components import Fail2ban, Fail2banArgs, Fail2banJail
from portcullis.host import Host

fail2ban = Fail2ban("web1-fail2ban", Fail2banArgs(ignore=[{ignore!r}]), host=Host("web1", "{os}"))
"""
VALUES = {
    "maxretry": 5, "findtime": 600, "bantime": WEEK, "bantime.increment": True, "bantime.maxtime": 8 * WEEK,
}  # fmt: skip
JAIL_FILE = "/etc/fail2ban/jail.d/zz-portcullis-sshd.local"


def deployed(host: Host, folder: Path, os: str) -> Project:
    project = Project(folder / "fail2ban", host, name=f"fail2ban-{os}")
    project.program(program(os))
    project.up()
    return project


def program(os: str = "debian-13", more: str = "") -> str:
    return PROGRAM.format(os=os, ignore=DECLARED.v4) + more


@pytest.fixture(scope="module")
def standing(module_host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Deploy fail2ban to a host. The tests of this file attack the host, or change fail2ban by hand."""
    # OpenSSH 10 itself refuses a client after nine failures. The exemption leaves the bans to fail2ban.
    exempt = f"PerSourcePenaltyExemptList {ATTACKER.v4},{ATTACKER.v6},{DECLARED.v4},{PEER}\n"
    module_host.write("/etc/ssh/sshd_config.d/90-lab.conf", exempt)
    module_host.run("sshd -t && systemctl reload ssh")
    project = deployed(module_host, tmp_path_factory.mktemp("standing"), "debian-13")
    yield project
    project.close()


@pytest.fixture
def mended(standing: Project) -> Iterator[Callable[[], None]]:
    """Return a function that repairs the host by an `up`.

    After a failed test the fixture itself repairs the host.
    """
    done = False

    def mend() -> None:
        nonlocal done
        standing.up()
        done = True
        standing.unchanged()
        assert_settings(standing.host)

    yield mend
    if not done:
        standing.host.run("rm -f /etc/fail2ban/jail.d/zzz.local")
        standing.program(program()).up()


@pytest.fixture(scope="module")
def wrong_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    key = tmp_path_factory.mktemp("key") / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True, timeout=30)
    return key


def fail_to_log_in(lab: Lab, host: Host, key: Path, source: str, *, times: int) -> None:
    """Try to log in with an unknown key until sshd has logged `times` more failures.

    Each attempt opens a new connection. sshd sometimes loses the log line of an attempt, when its process
    ends together with the client.
    """
    seen = logged(host, source)
    enough = seen + times
    for _ in range(4 * times):
        done = offer(lab, host, key, source)
        assert "Permission denied" in done.stderr, done.stderr
        until = time.monotonic() + 2
        while (now := logged(host, source)) == seen and time.monotonic() < until:
            time.sleep(0.1)
        seen = now
        if seen >= enough:
            return
    raise AssertionError(f"after {4 * times} failed logins, sshd's log has fewer than {times} failures")


def fail_until_banned(lab: Lab, host: Host, key: Path, source: str) -> None:
    """Offer a key that nobody knows until fail2ban has counted five failures, and wait for the ban.

    sshd may log a failure late or not at all: this one counts what fail2ban found, and may offer once more.
    """
    for _ in range(20):
        before = found(host, source)
        if before >= 5:
            break
        offer(lab, host, key, source)
        until = time.monotonic() + 2
        while found(host, source) == before and time.monotonic() < until:
            time.sleep(0.1)
    wait_for(f"the ban of {source}", lambda: source in in_the_packet_filter(host))


def offer(lab: Lab, host: Host, key: Path, source: str) -> subprocess.CompletedProcess[str]:
    """Try to log in as root once."""
    options = (
        "IdentitiesOnly=yes",
        "BatchMode=yes",
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "ConnectTimeout=5",
    )
    argv = (
        *("timeout", "10", "ssh", "-F", "none", "-i", str(key), *(f"-o{option}" for option in options)),
        *(f"root@{host.address6 if ':' in source else host.address}", "true"),
    )
    if source == PEER:
        return run(argv, check=False)
    return lab.at("internet" if source == DECLARED.v4 else "neighbour", *argv)


def logged(host: Host, source: str) -> int:
    """Return how many failures from an address sshd has logged."""
    # The filter is that of fail2ban: after a session has ended, journald links some of its lines to no unit.
    said = host.run(f"journalctl --sync; journalctl -q --no-pager -o cat {SSH_JOURNAL}").stdout
    return said.count(f"authenticating user root {source} port")


def connects(lab: Lab, address: str, place: str = "neighbour") -> bool:
    """Return whether the SSH port accepts a TCP connection."""
    code = "import socket, sys; socket.create_connection((sys.argv[1], 22), 3)"
    return lab.at(place, "python3", "-c", code, address).returncode == 0


def banned(host: Host) -> dict[str, int]:
    """Return the addresses that fail2ban has banned, with the length of each ban in seconds."""
    told = host.run("fail2ban-client get sshd banip --with-time").stdout
    # A line is: 192.0.2.1  2026-01-01 00:00:00 + 604800 = 2026-01-08 00:00:00
    return {line.split()[0]: int(line.split()[4]) for line in told.splitlines() if " + " in line}


def in_the_packet_filter(host: Host) -> set[str]:
    """Return the addresses in fail2ban's nftables sets."""
    listed = host.run("nft -j list table inet f2b-table", check=False).stdout
    parts = json.loads(listed)["nftables"] if listed else []
    return {element for part in parts if "set" in part for element in part["set"].get("elem", ())}


def found(host: Host, source: str) -> int:
    """How many failures from an address fail2ban has counted since it was installed."""
    return log(host).count(f"[sshd] Found {source} ")


def log(host: Host) -> str:
    return host.read("/var/log/fail2ban.log")


def get(host: Host, option: str) -> str:
    return host.run(f"fail2ban-client get sshd {option}").stdout.strip()


def assert_settings(host: Host) -> None:
    for option, value in VALUES.items():
        assert get(host, option) == str(value), option
    ignored = {line[3:] for line in get(host, "ignoreip").splitlines()[1:]}
    assert ignored == {"127.0.0.0/8", "::1", DECLARED.v4}
    assert host.run("fail2ban-client get dbpurgeage").stdout.split()[-1].startswith(str(WEEK))
    assert (
        host.run("systemctl is-active fail2ban; systemctl is-enabled fail2ban").stdout == "active\nenabled\n"
    )


def assert_banned_after_five(lab: Lab, host: Host, key: Path) -> None:
    assert found(host, ATTACKER.v4) == 0
    fail_until_banned(lab, host, key, ATTACKER.v4)
    until_the_ban = log(host).partition(f"] Ban {ATTACKER.v4}")[0]
    assert until_the_ban.count(f"Found {ATTACKER.v4} ") >= 5, "four failures are no reason for a ban"
    assert banned(host) == {ATTACKER.v4: WEEK}
    assert not connects(lab, host.address)


def test_the_values_that_run_are_those_declared(standing: Project) -> None:
    standing.unchanged()
    assert_settings(standing.host)
    assert "sshd-session" in get(standing.host, "journalmatch")


def test_five_failed_logins_are_a_ban_of_a_week(standing: Project, lab: Lab, wrong_key: Path) -> None:
    host = standing.host
    assert connects(lab, host.address)
    assert_banned_after_five(lab, host, wrong_key)
    assert connects(lab, host.address, "internet"), "no other address is banned"

    fail_until_banned(lab, host, wrong_key, ATTACKER.v6)
    assert not connects(lab, host.address6)


def test_who_comes_back_after_a_ban_is_banned_for_longer(
    standing: Project, lab: Lab, wrong_key: Path
) -> None:
    host = standing.host
    ban = f"] Ban {ATTACKER.v4}"
    # A ban that ends by itself: one that is lifted by hand is forgotten.
    host.run(f"fail2ban-client set sshd bantime 2; fail2ban-client set sshd unbanip {ATTACKER.v4}")
    before = log(host).count(ban)
    # Once it is banned sshd does not answer any more: each attempt waits for what came of the one before.
    for _ in range(20):
        offer(lab, host, wrong_key, ATTACKER.v4)
        until = time.monotonic() + 1.5
        while log(host).count(ban) == before and time.monotonic() < until:
            time.sleep(0.1)
        if log(host).count(ban) > before:
            break
    assert log(host).count(ban) > before, "there was no short ban"
    # On a busy machine the line stands there before the packet filter has it.
    wait_for("its end", lambda: f"] Unban {ATTACKER.v4}" in log(host).rpartition(ban)[2])
    wait_for("the packet filter to remove the address", lambda: ATTACKER.v4 not in in_the_packet_filter(host))
    host.run(f"fail2ban-client set sshd bantime {WEEK}")

    # Each failure of somebody who was banned before counts for more: fewer than five will do. A failure that
    # was counted late may bring one more short ban first. fail2ban lengthens a ban after it has begun.
    def longer() -> bool:
        if ATTACKER.v4 not in in_the_packet_filter(host):
            offer(lab, host, wrong_key, ATTACKER.v4)
        return banned(host).get(ATTACKER.v4, 0) > WEEK  # a first ban is a week

    wait_for("the longer ban", longer)
    wait_for("the packet filter to have it", lambda: ATTACKER.v4 in in_the_packet_filter(host))
    assert not connects(lab, host.address)


def test_bans_outlive_a_restart_of_the_server_and_a_flush_of_the_packet_filter_is_mended(
    standing: Project, lab: Lab
) -> None:
    host = standing.host
    both = {ATTACKER.v4, ATTACKER.v6}
    host.run(f"fail2ban-client set sshd banip {ATTACKER.v4} {ATTACKER.v6}")
    wait_for("the bans", lambda: in_the_packet_filter(host) == both)
    host.run("systemctl restart fail2ban")
    # The bans come back one after the other. A late one would create the table again, after its deletion.
    wait_for("the bans to come back", lambda: in_the_packet_filter(host) == both)
    assert not connects(lab, host.address)
    for lost in ("delete table inet f2b-table", "flush set inet f2b-table addr-set-sshd"):
        host.run(f"nft {lost}")
        assert connects(lab, host.address)
        standing.up("--diff").has("~ enforced: false => true")
        wait_for("the bans to come back", lambda: in_the_packet_filter(host) == both)
        assert not connects(lab, host.address)
    host.run("fail2ban-client unban --all")
    assert connects(lab, host.address)


def test_a_declared_address_is_never_banned(standing: Project, lab: Lab, wrong_key: Path) -> None:
    host = standing.host
    fail_to_log_in(lab, host, wrong_key, DECLARED.v4, times=8)
    wait_for("fail2ban to read all failures", lambda: log(host).count(f"Ignore {DECLARED.v4}") >= 8)
    assert banned(host) == {}
    assert connects(lab, host.address, "internet")


def test_without_fail2ban_nobody_is_banned(standing: Project, lab: Lab, wrong_key: Path) -> None:
    host = standing.host
    host.run("systemctl stop fail2ban")
    fail_to_log_in(lab, host, wrong_key, ATTACKER.v4, times=10)
    assert in_the_packet_filter(host) == set()
    assert connects(lab, host.address), "without fail2ban nobody is banned"
    # After its start fail2ban reads the failures of the last ten minutes.
    host.run("systemctl start fail2ban")
    wait_for("the ban", lambda: ATTACKER.v4 in in_the_packet_filter(host))
    host.run("fail2ban-client unban --all")


def test_a_misspelt_option_is_refused(standing: Project) -> None:
    more = """
Fail2banJail("other", host="web1", jail="other", options={"maxretries": 3, "findtime": "1 month"})
"""
    standing.program(program(more=more))
    standing.preview(fails=True).has(
        "maxretries is not an option of a jail: did you mean maxretry?",
        "findtime: '1 month' is not a length of time",
    )
    standing.program(program())


def test_a_jail_that_would_stop_the_server_is_refused_and_one_with_a_log_file_runs(
    standing: Project, mended: Callable[[], None]
) -> None:
    host = standing.host
    more = """
Fail2banJail("web", host="web1", jail="nginx-http-auth", ignoreip=fail2ban.ignoreip,
             options={"backend": "auto", "filter": "{filter}", "port": "http,https",
                      "logpath": "/var/log/nginx/error.log"},
             opts=pulumi.ResourceOptions(depends_on=[fail2ban]))
"""
    standing.program(program(more=more.replace("{filter}", "nginx-http-auth")))
    standing.up(fails=True).has(
        "no file matches /var/log/nginx/error.log, and fail2ban does not start if a jail's log file is"
    )
    host.run("mkdir -p /var/log/nginx && touch /var/log/nginx/error.log")
    standing.program(program(more=more.replace("{filter}", "no-such-filter")))
    standing.up(fails=True).has("fail2ban-client -t refuses the jail", "no-such-filter")
    assert host.run("ls /etc/fail2ban/jail.d").stdout.split() == [
        "defaults-debian.conf", "zz-portcullis-sshd.local", "zz-portcullis.conf",
    ]  # fmt: skip
    assert_settings(host)
    standing.program(program(more=more.replace("{filter}", "nginx-http-auth"))).up()
    standing.unchanged()
    assert "nginx-http-auth, sshd" in host.run("fail2ban-client status").stdout
    standing.program(program())
    mended()
    assert "Jail list:\tsshd" in host.run("fail2ban-client status").stdout


def test_values_set_at_run_time_and_a_file_that_wins_are_shown_and_mended(
    standing: Project, mended: Callable[[], None]
) -> None:
    host = standing.host
    host.run(
        "fail2ban-client set sshd maxretry 50; fail2ban-client set sshd addignoreip 203.0.113.9;"
        "printf '[sshd]\\nfindtime = 5\\n\\n[mine]\\n# mine: off\\n' > /etc/fail2ban/jail.d/zzz.local"
    )
    standing.preview().has(
        '~ maxretry : "50" => "5"',
        '- 203.0.113.9: "never banned"',
        '- findtime: "5 in /etc/fail2ban/jail.d/zzz.local"',
    )
    mended()
    assert host.read("/etc/fail2ban/jail.d/zzz.local") == (
        "[sshd]\n#portcullis:sshd# findtime = 5\n\n[mine]\n# mine: off\n"
    )


def test_a_reload_that_fails_after_a_change_by_hand_names_that_change_first(
    standing: Project, mended: Callable[[], None]
) -> None:
    host = standing.host
    evil = "/etc/fail2ban/jail.d/evil.local"
    host.write(evil, "[evil]\nenabled = true\nfilter = no-such-filter\n")
    try:
        # This difference makes the `up` reload fail2ban.
        host.run("fail2ban-client set sshd maxretry 50")
        error = standing.up(fails=True).error
        first, said = error.find(f"{evil} was changed by hand"), error.find("no-such-filter")
        assert 0 <= first < said, error
        assert "Jail list:\tsshd" in host.run("fail2ban-client status").stdout, "the old jails run"
    finally:
        host.run(f"rm {evil}")
    mended()


def test_an_edited_file_and_a_stopped_jail_are_shown_and_mended(
    standing: Project, mended: Callable[[], None]
) -> None:
    host = standing.host
    host.run(f"sed -i 's/^bantime = .*/bantime = 60/; s/^port = .*/port = 2222/' {JAIL_FILE}")
    host.run("fail2ban-client stop sshd")
    standing.preview().has(
        "- bantime = 60", "+ bantime = 604800", "~ enabled : false => true", '~ port : "2222" => "22"'
    )
    mended()
    host.run(f"rm {JAIL_FILE}; fail2ban-client reload; systemctl stop fail2ban")
    standing.preview().has("~ enabled : false => true", 'active : "inactive" => "active"')
    mended()


@pytest.mark.once
def test_a_jail_that_would_ban_us_at_once_is_refused(standing: Project, mended: Callable[[], None]) -> None:
    host = standing.host
    # fail2ban's database keeps the ban, and the jail restores the ban at its start.
    host.run(f"fail2ban-client set sshd banip {PEER}; fail2ban-client stop sshd")
    standing.up(fails=True).has(
        f"the jail sshd bans {PEER}, the address of this session",
        "add this address to fail2ban.ignore (ignoreip in a program)",
    )
    assert "Jail list:\t\n" in host.run("fail2ban-client status").stdout
    # fail2ban removes a ban only while the jail of the ban runs.
    host.run("fail2ban-client reload --if-exists sshd")
    wait_for("the ban to be back", lambda: PEER in in_the_packet_filter(host))
    host.run(f"fail2ban-client unban {PEER}")
    mended()


@pytest.mark.once
def test_a_jail_that_bans_us_for_what_we_did_before_is_taken_back(
    standing: Project, lab: Lab, wrong_key: Path, mended: Callable[[], None]
) -> None:
    host = standing.host
    host.run("fail2ban-client stop sshd")
    fail_to_log_in(lab, host, wrong_key, PEER, times=6)
    standing.up(fails=True).has(f"the jail sshd bans {PEER}, the address of this session, because of")
    assert PEER not in in_the_packet_filter(host)
    # fail2ban does not read the same failures again.
    mended()


def test_destroy_gives_all_back(standing: Project) -> None:
    host = standing.host
    host.write("/etc/fail2ban/jail.d/zzz.local", "[sshd]\nfindtime = 5\n")
    standing.up()
    assert host.read("/etc/fail2ban/jail.d/zzz.local") == "[sshd]\n#portcullis:sshd# findtime = 5\n"
    standing.destroy()
    assert host.read("/etc/fail2ban/jail.d/zzz.local").startswith("[sshd]\nfindtime = 5\n")
    host.run("rm /etc/fail2ban/jail.d/zzz.local")
    left = "find /etc/fail2ban /var/lib/portcullis /var/lib/fail2ban -type f; command -v fail2ban-client"
    assert host.run(left, check=False).stdout == ""
    assert in_the_packet_filter(host) == set()


def test_debian_12_too(
    make_module_host: Callable[..., Host], lab: Lab, wrong_key: Path, tmp_path: Path
) -> None:
    host = make_module_host("bookworm")
    project = deployed(host, tmp_path, "debian-12")
    try:
        project.unchanged()
        assert_settings(host)
        assert_banned_after_five(lab, host, wrong_key)
        project.destroy()
        assert host.run("command -v fail2ban-client", check=False).stdout == ""
    finally:
        project.close()
