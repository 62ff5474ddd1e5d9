"""The agent on a lab host with the real apt, dpkg, systemd and sshd. All tests here share one host."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.agent.remote import RemoteAgent, wanted_file, wanted_service
from tests.e2e.host.watch import on_host, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.pytest_lab import Host

pytestmark = pytest.mark.e2e

CONF = "/etc/nginx/nginx.conf"
TEST = ["nginx", "-t"]
NEXT = "/etc/nginx/conf.d/next.conf"
GO = "/run/agent-go"
HOLD = f"for i in $(seq 1500); do [ -e {GO} ] && break; sleep 0.2; done"


@pytest.fixture(scope="module", params=["trixie", "bookworm"])
def module_host(request: pytest.FixtureRequest, make_module_host: Callable[[str], Host]) -> Host:
    """A host of Debian 13 (systemd 257, Python 3.13), and a host of Debian 12 (systemd 252, Python 3.11)."""
    return make_module_host(request.param)


@pytest.fixture
def start(module_host: Host) -> Iterator[Callable[..., RemoteAgent]]:
    agents: list[RemoteAgent] = []

    def make(**how: str) -> RemoteAgent:
        agents.append(RemoteAgent(module_host, **how))
        return agents[-1]

    yield make
    for agent in agents:
        agent.close()


@pytest.fixture
def agent(start: Callable[..., RemoteAgent]) -> RemoteAgent:
    return start()


def agents_running(host: Host) -> list[str]:
    return host.run(["pgrep", "-f", "^python3 -I .*portcullis.agent"], check=False).stdout.split()


def wait_until_gone(host: Host, *, but: int = 0) -> None:
    wait_for("the agents to go", lambda: len(agents_running(host)) <= but)


def installed(host: Host) -> set[str]:
    listed = host.run(["dpkg-query", "-W", "-f", "${db:Status-Abbrev}${Package}\n"]).stdout.splitlines()
    return {line.split()[1] for line in listed if line.startswith("ii")}


def as_running(facts: dict[str, Any]) -> bool:
    """Return whether the unit with these facts runs, and has read the present content of its files."""
    seen = {name: value for name, value in facts.items() if name != "revision"}
    return seen == {"exists": True, "active": "active", "enabled": "enabled", "stale": False}


def test_a_stack_from_its_first_package_to_its_removal(agent: RemoteAgent) -> None:
    host = agent.host
    before = installed(host)

    # Packages: no service starts, and the policy that forbids the start is removed afterwards.
    agent.packages("nginx", "ed")
    assert host.run(["systemctl", "is-active", "nginx"], check=False).stdout == "inactive\n"
    assert host.run(["ls", "/usr/sbin/policy-rc.d"], check=False).returncode != 0
    assert agent.packages("nginx", "ed")["steps"] == []

    # An unchanged conffile of a package is replaced. A conffile that somebody edited needs adopt.
    shipped = host.read(CONF)
    agent.file(CONF, shipped + "# ours\n", test=TEST)
    types = "/etc/nginx/mime.types"
    host.write(types, host.read(types) + "# by hand\n")
    assert agent.refused("file", types, wanted_file(types, "x"))["code"] == "differs"

    # A service starts with the new file, is stale after an edit by hand, and is reloaded once.
    done = agent.service("nginx.service", "/etc/nginx")
    assert as_running(done["facts"])
    assert agent.service("nginx.service", "/etc/nginx")["steps"] == []
    main_pid = host.run(["systemctl", "show", "-P", "MainPID", "nginx"]).stdout
    host.write(NEXT, "server { listen 8080; return 200 next; }\n")
    assert agent.is_stale("nginx.service", "/etc/nginx")
    assert [s["action"] for s in agent.service("nginx.service", "/etc/nginx")["steps"]] == ["reload"]
    assert host.run(["curl", "-s", "http://127.0.0.1:8080/"]).stdout == "next"
    assert host.run(["systemctl", "show", "-P", "MainPID", "nginx"]).stdout == main_pid
    assert not agent.is_stale("nginx.service", "/etc/nginx")

    # A file that nginx refuses is rolled back, and the error has nginx's message.
    bad = wanted_file(NEXT, "nonsense;\n", test=TEST)
    error = agent.refused("file", NEXT, bad, adopt=True)
    assert error["code"] == "test-failed"
    assert f'unknown directive "nonsense" in {NEXT}' in error["detail"]
    assert "listen 8080" in host.read(NEXT)

    # All resources are removed again.
    agent.service("nginx.service", op="remove")
    assert host.run(["systemctl", "is-active", "nginx"], check=False).stdout == "inactive\n"
    agent.file(CONF, op="remove")
    assert host.read(CONF) == shipped
    assert agent.packages("nginx", "ed", op="remove", on_delete="purge")["done"] == "removed"
    assert installed(host) == before
    assert host.run(["ls", "/var/lib/portcullis"], check=False).returncode != 0


def test_the_hosts_own_policy_is_respected_and_comes_back(agent: RemoteAgent) -> None:
    host = agent.host
    policy = '#!/bin/sh\necho "$@" >> /run/asked\nexit 0\n'
    host.write("/usr/sbin/policy-rc.d", policy)
    host.run(["chmod", "755", "/usr/sbin/policy-rc.d"])
    agent.packages("nginx")
    assert host.read("/usr/sbin/policy-rc.d") == policy
    assert host.run(["systemctl", "is-active", "nginx"], check=False).stdout == "inactive\n"
    host.run(["rm", "/usr/sbin/policy-rc.d"])


def test_only_a_successful_reload_ends_staleness(agent: RemoteAgent) -> None:
    """A unit is stale if it has not read its changed files.

    A successful reload ends this, also by another program; a failed reload does not.

    daemon-reload and daemon-reexec do not end staleness.
    """
    host = agent.host
    agent.service("ssh.service", "/etc/ssh")
    host.write("/etc/ssh/sshd_config.d/90-test.conf", "PrintMotd no\n")
    assert agent.is_stale("ssh.service", "/etc/ssh")
    for harmless in ("daemon-reload", "daemon-reexec"):
        host.run(["systemctl", harmless])
        assert agent.is_stale("ssh.service", "/etc/ssh")
    host.run(["systemctl", "reload", "ssh"])
    assert not agent.is_stale("ssh.service", "/etc/ssh")
    for harmless in ("daemon-reload", "daemon-reexec"):
        host.run(["systemctl", harmless])
        assert not agent.is_stale("ssh.service", "/etc/ssh")
    host.write("/etc/ssh/sshd_config.d/90-test.conf", "Nonsense yes\n")
    host.run(["systemctl", "reload", "ssh"], check=False)
    assert agent.is_stale("ssh.service", "/etc/ssh")
    error = agent.refused("service", "ssh.service", wanted_service("ssh.service", "/etc/ssh"))
    assert error["code"] == "systemd"
    assert "Nonsense" in error["detail"]
    assert agent.is_stale("ssh.service", "/etc/ssh")
    host.run(["rm", "/etc/ssh/sshd_config.d/90-test.conf"])
    agent.service("ssh.service", "/etc/ssh")
    assert not agent.is_stale("ssh.service", "/etc/ssh")


def test_a_unit_that_does_not_stay_up_is_a_failure_with_its_journal(agent: RemoteAgent) -> None:
    path = "/etc/systemd/system/flaky.service"
    program = "/bin/sh -c 'echo cannot bind to port 80; sleep 0.3; exit 1'"
    service = f"[Service]\nExecStart={program}\nRestart=always\nRestartSec=1\n"
    unit = f"{service}[Install]\nWantedBy=multi-user.target\n"
    agent.file(path, unit)
    error = agent.refused("service", "flaky.service", wanted_service("flaky.service", path))
    assert error["code"] == "systemd"
    assert "does not keep running" in error["message"]
    assert "cannot bind to port 80" in error["detail"]
    agent.file(path, unit.replace(program, "/bin/sleep 1000"))
    assert agent.service("flaky.service", path)["facts"]["active"] == "active"
    agent.file(path, unit.replace(program, "/bin/sleep 2000"))
    assert agent.is_stale("flaky.service", path)
    agent.service("flaky.service", path)
    running = agent.host.run(["systemctl", "show", "-P", "ExecStart", "flaky"]).stdout
    assert "sleep 2000" in running
    assert agent.service("flaky.service", path, op="remove")["done"] == "restored"
    agent.file(path, op="remove")


def test_a_masked_unit_needs_adopt(agent: RemoteAgent) -> None:
    agent.host.run(["systemctl", "stop", "nginx"])
    agent.host.run(["systemctl", "mask", "nginx"])
    error = agent.refused("service", "nginx.service", wanted_service("nginx.service"))
    assert (error["code"], error["property"]) == ("differs", "enabled")
    agent.service("nginx.service", adopt=True)
    agent.service("nginx.service", op="remove")
    assert agent.facts("service", "nginx.service", unit="nginx.service", reads=[])["enabled"] == "masked"
    agent.host.run(["systemctl", "unmask", "nginx"])


def test_a_package_that_another_package_needs_is_kept(agent: RemoteAgent) -> None:
    agent.packages("nginx", op="remove")
    agent.packages("nginx-common")
    agent.host.run("DEBIAN_FRONTEND=noninteractive apt-get -q -y install nginx")
    assert agent.packages("nginx-common", op="remove")["done"] == "kept"
    assert {"nginx", "nginx-common"} <= installed(agent.host)
    assert agent.host.run(["apt-mark", "showauto", "nginx-common"]).stdout == "nginx-common\n"


def test_the_agent_waits_for_apts_lock_and_names_its_holder(
    start: Callable[..., RemoteAgent], module_host: Host
) -> None:
    start().ask("hello")  # the agent is in the host's cache now
    holder = (
        "import fcntl, time\n"
        "f = open('/var/lib/dpkg/lock-frontend', 'w'); fcntl.lockf(f, fcntl.LOCK_EX)\n"
        "g = open('/var/lib/apt/lists/lock', 'w'); fcntl.lockf(g, fcntl.LOCK_EX)\n"
        "print('held', flush=True); time.sleep({seconds})"
    )
    module_host.run(f'nohup python3 -c "{holder.format(seconds=600)}" >/run/held 2>&1 & echo $! >/run/holder')
    module_host.run("until grep -q held /run/held; do sleep 0.1; done")
    pid = module_host.read("/run/holder").strip()
    quick = start(limits="apt_lock_wait=2")
    desired = {"managed_by": "tools", "packages": {"ed": "installed"}, "on_delete": "remove"}
    error = quick.refused("packages", "tools", desired)
    assert error["code"] == "apt-lock"
    assert f"python3 (process {pid})" in error["message"]
    assert "ed" not in installed(module_host)
    quick.close()
    waiting = start(limits="apt_lock_wait=300")
    waiting.send("put", kind="packages", item="tools", desired=desired, owner="x", adopt=False)
    time.sleep(2)
    module_host.run(["kill", pid])
    assert waiting.read()["ok"]
    waiting.on("remove", "packages", "tools", desired, owner="x")


def test_a_second_deployment_is_refused_and_learns_who_deploys(start: Callable[..., RemoteAgent]) -> None:
    first, second = start(who="alice@laptop (pid 1)"), start(who="bob@ci (pid 2)")
    first.file("/etc/portcullis-test", "a")
    error = second.refused("file", "/etc/portcullis-test", wanted_file("/etc/portcullis-test", "b"))
    assert error["code"] == "locked"
    assert "alice@laptop (pid 1)" in error["message"]
    first.ssh.kill()
    wait_until_gone(second.host, but=1)
    second.file("/etc/portcullis-test", "b")
    second.file("/etc/portcullis-test", op="remove")


def test_after_the_end_of_ssh_the_agent_finishes_its_work_and_ends(
    start: Callable[..., RemoteAgent], module_host: Host
) -> None:
    start().close()
    wait_until_gone(module_host)
    killed = start()
    killed.send(
        "put", kind="file", item="/etc/portcullis-test", owner="x", adopt=False,
        desired=wanted_file("/etc/portcullis-test", "finished", test=["sh", "-c", HOLD]),
    )  # fmt: skip
    wait_for("the test to run", lambda: on_host(module_host, GO))
    killed.ssh.kill()
    killed.ssh.wait()
    module_host.run(["touch", GO])
    wait_until_gone(module_host)
    assert module_host.read("/etc/portcullis-test") == "finished"
    module_host.run(["rm", "-r", GO, "/etc/portcullis-test", "/var/lib/portcullis"])


def test_a_hundred_files_and_some_of_the_largest_size_are_read(agent: RemoteAgent) -> None:
    host = agent.host
    host.run(
        "mkdir /etc/many; cd /etc/many; seq 1 90000 | head -c 100000 > large; head -c 5000 large > small;"
        "for n in $(seq 5); do cp large large-$n; done; for n in $(seq 100); do cp small small-$n; done"
    )
    paths = [f"/etc/many/{name}" for name in host.run(["ls", "/etc/many"]).stdout.split()]
    items = [{"kind": "file", "id": path, "spec": {"path": path}} for path in paths]
    for _ in range(3):
        assert len(agent.ask("survey", items=items)["items"]) == 107
    agent.file("/etc/many/large", "x" * 100_000, adopt=True)
    agent.file("/etc/many/large", op="remove")


def test_after_a_reboot_nothing_looks_stale(start: Callable[..., RemoteAgent], module_host: Host) -> None:
    first = start()
    units = {"ssh.service": "/etc/ssh", "nginx.service": "/etc/nginx"}
    for unit, folder in units.items():
        first.service(unit, folder)
    first.close()
    module_host.reboot()
    second = start()
    items = [{"kind": "service", "id": u, "spec": {"unit": u, "reads": [f]}} for u, f in units.items()]
    for item in second.ask("survey", items=items)["items"]:
        assert as_running(item["facts"])


def test_services_of_new_packages_do_not_run_after_a_boot_either(
    start: Callable[..., RemoteAgent], module_host: Host
) -> None:
    names = ("fail2ban", "redis-server", "docker.io")
    units = [
        "fail2ban.service",
        "redis-server.service",
        "docker.service",
        "docker.socket",
        "containerd.service",
    ]
    first = start()
    first.packages(*names)
    first.close()
    module_host.reboot()
    assert set(module_host.run(["systemctl", "is-active", *units], check=False).stdout.split()) == {
        "inactive"
    }
    assert set(module_host.run(["systemctl", "is-enabled", *units], check=False).stdout.split()) == {
        "disabled"
    }
    assert "needrestart" not in installed(module_host)
    start().packages(*names, op="remove")
