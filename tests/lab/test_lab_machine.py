"""The lab uses a Docker engine that already runs on the machine, and leaves nothing behind.

Most tests run the lab's program in separate namespaces for network, mounts and processes, with an empty /run.
So the tests neither see nor disturb the hosts of other sessions. The separate network has no internet, so all
downloads must be in the cache before.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from lab import hosts, keys, machine
from lab.places import CHECKOUT, cache

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lab.pytest_lab import Host

LAB = f"python3 {CHECKOUT}/lab/lab.py"
CGROUP2_ONLY = "umount -R /sys/fs/cgroup; mount -t sysfs sysfs /sys; mount -t cgroup2 cgroup2 /sys/fs/cgroup"

_UNSHARE = ["unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"]
World = "Callable[[str], subprocess.CompletedProcess[str]]"


@pytest.fixture
def world(host: Host, tmp_path: Path) -> World:
    """Return a function that runs a bash script in separate namespaces. The script must succeed."""
    assert host.name  # this host has filled the cache
    (tmp_path / "lab").mkdir()
    for shared in ("bases", "programs", "ca", "ssh", "host-keys"):
        (tmp_path / "lab" / shared).symlink_to(cache() / shared)
    keys.host_keys("guest")

    def enter(script: str) -> subprocess.CompletedProcess[str]:
        prelude = f"mount -t tmpfs tmpfs /run; ip link set lo up; export PORTCULLIS_CACHE={tmp_path}\n"
        done = subprocess.run(
            [*_UNSHARE, "bash", "-ec", prelude + script],
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    return enter


def test_the_last_host_takes_everything_with_it(world: World) -> None:
    done = world(
        f"""
        {LAB} leftovers > /run/before || true
        {LAB} up guest
        {LAB} leftovers > /run/during && exit 9
        {LAB} down --all
        {LAB} leftovers > /run/after || true
        echo; grep -vxFf /run/before /run/during
        echo ---; diff /run/before /run/after
        find /run -mindepth 1 -not -path '/run/mount*' -not -path /run/netns
        ip -brief link; ip route; (nft list ruleset || iptables-save) 2>/dev/null; ps -e -o comm=
        """
    )
    during, _, after = done.stdout.partition("---\n")
    for kind in (
        "namespace portcullis-router",
        "(dockerd)",
        "(gateway)",
        "(registry)",
        "container ",
        "control group",
    ):
        assert kind in during
    left = sorted(line.split()[0] for line in after.splitlines())
    assert left == ["/run/after", "/run/before", "/run/during", "bash", "lo", "ps"]


def test_on_a_machine_with_cgroup_v2(world: World) -> None:
    done = world(
        f"{CGROUP2_ONLY}; {LAB} up guest; {LAB} exec guest systemctl is-system-running; {LAB} down --all"
    )
    assert "running" in done.stdout.splitlines()


def test_an_engine_that_answers_is_used_and_left_as_it_was(world: World, tmp_path: Path) -> None:
    done = world(
        f"""
        dockerd --data-root {tmp_path}/theirs --iptables=false --ip6tables=false --bridge none 2>/run/log &
        api() {{ curl -sS --unix-socket /run/docker.sock http://d/$1; }}
        until api _ping 2>/dev/null; do sleep 0.1; done
        {LAB} up guest
        echo; echo "during: $(api containers/json | grep -o portcullis-lab-guest | head -1)"
        {LAB} status
        {LAB} down --all
        echo; echo "after: $(api containers/json?all=1) $(api images/json?all=1)"
        kill $!; wait
        """
    )
    assert "during: portcullis-lab-guest" in done.stdout
    assert "engine /var/run/docker.sock" in done.stdout
    assert "after: [] []" in done.stdout


def test_a_name_of_another_checkout_is_refused(world: World, tmp_path: Path) -> None:
    other = tmp_path / "other"
    done = world(
        f"""
        mkdir {other}; cp -r {CHECKOUT}/lab {CHECKOUT}/tools {CHECKOUT}/portcullis {other}/
        {LAB} up guest
        python3 {other}/lab/lab.py up guest && exit 9
        python3 {other}/lab/lab.py down guest && exit 9
        python3 {other}/lab/lab.py down --all
        {LAB} down guest
        """
    )
    assert done.stderr.count(f"host guest belongs to the checkout {CHECKOUT}") == 2
    assert "nothing to remove" in done.stdout


def test_what_a_killed_session_left_is_taken_away(world: World) -> None:
    done = world(
        f"""
        {LAB} leftovers > /run/before || true
        cd {CHECKOUT}
        python3 -c 'import os, signal
from lab import machine
from lab.processes import this_process
machine.join(this_process())
machine.up(None, lease=this_process())
os.kill(os.getpid(), signal.SIGKILL)' || true
        {LAB} leftovers > /run/during && exit 9
        {LAB} status
        {LAB} leftovers > /run/after || true
        grep -c '^container' /run/during; echo "left: $(grep -vxFf /run/before /run/after)"
        """
    )
    assert done.stdout.splitlines() == ["the lab is down", "1", "left: "]


def test_what_a_clone_that_is_gone_left_is_taken_away(world: World, tmp_path: Path) -> None:
    """Its hosts have no lease: people raise them, and take them down when they are done."""
    other, its_cache = tmp_path / "other", tmp_path / "other-cache"
    done = world(
        f"""
        {LAB} leftovers > /run/before || true
        mkdir {other}; cp -r {CHECKOUT}/lab {CHECKOUT}/tools {CHECKOUT}/portcullis {other}/
        mkdir {its_cache}; cp -rP {tmp_path}/lab {its_cache}/
        PORTCULLIS_CACHE={its_cache} python3 {other}/lab/lab.py up theirs
        {LAB} up guest && exit 9
        {LAB} status
        rm -r {other}
        {LAB} status
        {LAB} leftovers > /run/after || true
        echo "left: $(grep -vxFf /run/before /run/after)"
        """
    )
    assert done.stderr.count("the running lab uses another cache") == 1
    there, *_, gone, left = done.stdout.splitlines()[1:]
    assert there.startswith("theirs ")
    assert (gone, left) == ("the lab is down", "left: ")


@pytest.mark.parametrize("started", ["[d]ockerd --config-file", "[l]ab-first-process"])
def test_what_a_command_that_was_killed_began_is_taken_away(world: World, started: str) -> None:
    done = world(
        f"""
        {LAB} leftovers > /run/before || true
        {LAB} up guest & lab=$!
        until pgrep -f '{started}' >/dev/null; do sleep 0.02; done
        kill -9 $lab; wait $lab || true
        {LAB} leftovers > /run/during && exit 9
        {LAB} status > /run/status; {LAB} down --all
        {LAB} leftovers > /run/after || true
        echo; echo "left: $(grep -vxFf /run/before /run/after)"; ps -e -o comm= > /run/ps
            sort /run/ps | xargs echo processes:
        """
    )
    assert done.stdout.splitlines()[-2:] == ["left: ", "processes: bash ps"]


def test_what_a_dead_engine_left_is_taken_away(world: World) -> None:
    done = world(
        f"""
        {LAB} leftovers > /run/before || true
        {LAB} up guest
        kill -9 $({LAB} leftovers | sed -n 's/^process \\([0-9]*\\) (.*/\\1/p')
        {LAB} down --all
        {LAB} leftovers > /run/after || true
        echo; echo "left: $(grep -vxFf /run/before /run/after)"; ps -e -o comm= > /run/ps
            sort /run/ps | xargs echo processes:
        """
    )
    assert done.stdout.splitlines()[-2:] == ["left: ", "processes: bash ps"]


def test_a_network_that_is_taken_is_named(world: World) -> None:
    done = world(f"ip route add 198.51.100.128/25 dev lo; {LAB} up guest && exit 9; {LAB} down --all")
    assert "this machine already routes" in done.stderr


def test_a_user_who_is_not_root_is_told(host: Host) -> None:
    assert host.name
    # The checkout may lie in a folder that only root may enter.
    reads = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    done = subprocess.run(
        [
            "setpriv",
            "--reuid=65534",
            "--clear-groups",
            *reads,
            "/usr/bin/python3",
            f"{CHECKOUT}/lab/lab.py",
            "up",
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "lab: the lab must run as root, because it makes network namespaces and containers; "
        "run lab.py with sudo"
    )


def test_a_host_that_was_stopped_is_started_again(make_host: Callable[[], Host]) -> None:
    host = make_host()
    host.engine.stop(host.record.container)
    machine.up(host.name)
    assert hosts.console(host.engine, host.record, ["true"]).returncode == 0
