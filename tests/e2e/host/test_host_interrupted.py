"""The documented steps complete an interrupted deployment. None of its processes keeps running."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING

from tests.e2e.host.watch import agents, of_folder, on_host, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.pytest_lab import Host
    from tests.e2e.project import Project

APT = """
web = Packages("web", host="web1", names=["nginx", "tree"])
site = File("site", host="web1", path="/etc/nginx/conf.d/e2e.conf", test=["nginx", "-t"],
            content="server { listen 8088; return 200 'here'; }\\n",
            opts=pulumi.ResourceOptions(depends_on=[web]))
Service("nginx", host="web1", unit="nginx.service", reads=[site, web, "/etc/nginx"])
"""
SLOW = """
File("slow", host="web1", path="/etc/slow", content="{content}\\n", adopt=True, test=["sh", "-c", "{test}"])
File("other", host="web1", path="/etc/other", content="{content}\\n")
"""
GO = "/run/e2e-go"
HOLD = f"for i in $(seq 1500); do [ -e {GO} ] && break; sleep 0.2; done"
"""As a file's test: the change is under way until GO is there."""


def gone(project: Project, host: Host) -> None:
    """Wait until nothing of the deployment runs on the host or on this machine."""
    wait_for("the agent to finish and end", lambda: not agents(host))
    wait_for("its processes on this machine to end", lambda: not of_folder(host, project.folder))


def has_written_its_state(project: Project) -> bool:
    """Return whether the engine has not changed its state for two seconds: it writes it in place."""
    with contextlib.suppress(FileNotFoundError):
        files = [path for path in (project.folder / "state").rglob("*") if path.is_file()]
        return time.time() - max(path.stat().st_mtime for path in files) > 2
    return False


def test_an_engine_that_is_killed_while_apt_runs_is_followed_by_cancel_and_up(
    project: Project, module_host: Host
) -> None:
    host = module_host
    project.program(APT)
    process = project.start("up", "--yes", "--skip-preview")
    wait_for("dpkg to be at work", lambda: on_host(host, "/usr/bin/dpkg "))
    process.kill()
    project.finish(process, "up", time.monotonic())
    # What was under way is finished: a package half unpacked would be worse than one too many.
    gone(project, host)
    assert host.run("dpkg --audit").stdout == ""
    project.up(fails=True).has("pulumi cancel")
    project.cancel()
    project.up()
    assert host.run("curl -sS http://127.0.0.1:8088/").stdout == "here"
    project.unchanged()
    project.destroy()
    assert host.run("ls /var/lib/portcullis; command -v nginx", check=False).stdout == ""
    gone(project, host)


def test_everything_of_a_deployment_killed_at_once_while_a_test_runs_is_followed_by_cancel_and_up(
    project: Project, module_host: Host
) -> None:
    host = module_host
    host.write("/etc/slow", "the original\n")
    project.program(SLOW.format(content="one", test="true")).up()
    host.run(["rm", "-f", GO])
    project.program(SLOW.format(content="two", test=HOLD))
    process = project.start("up", "--yes", "--skip-preview")
    wait_for("the test to run", lambda: on_host(host, GO))
    wait_for("the other file", lambda: host.read("/etc/other") == "two\n")
    # Killed while it writes, the engine would lose its state by itself.
    wait_for("the engine to rest", lambda: has_written_its_state(project))
    for ours in of_folder(host, project.folder):
        os.kill(ours.pid, signal.SIGKILL)
    host.run(["touch", GO])
    project.finish(process, "up", time.monotonic())
    gone(project, host)
    project.cancel()
    project.up()
    assert host.run("cat /etc/slow /etc/other").stdout == "two\ntwo\n"
    project.unchanged()
    project.destroy()
    assert host.read("/etc/slow") == "the original\n"
    assert host.run("ls -A /etc | grep portcullis", check=False).stdout == "", "a temporary file is left"


def test_an_agent_that_is_killed_in_mid_change_never_leaves_an_untested_file_unnoticed(
    project: Project, module_host: Host
) -> None:
    host = module_host
    project.program(SLOW.format(content="one", test="true")).up()
    host.run(["rm", "-f", GO])
    project.program(SLOW.format(content="bad", test=HOLD + "; false"))
    process = project.start("up", "--yes", "--skip-preview")
    wait_for("the test to run", lambda: on_host(host, GO))
    for agent in agents(host):
        os.kill(agent.pid, signal.SIGKILL)
    host.run(["touch", GO])
    broken = project.finish(process, "up", time.monotonic())
    assert broken.code != 0
    broken.has('web1: File "slow" (/etc/slow)').lacks("Traceback")
    # The new bytes are in place and were never tested: the next up has to test them, and take them back.
    project.up(fails=True).has("refuses the new content")
    assert host.read("/etc/slow") == "one\n"
    project.program(SLOW.format(content="good", test="true")).up()
    assert host.read("/etc/slow") == "good\n"
    project.unchanged()
    project.destroy()
    gone(project, host)


def test_a_package_that_was_cut_off_while_it_was_unpacked_is_unpacked_anew(
    make_project: Callable[..., Project], make_host: Callable[[], Host]
) -> None:
    host = make_host()
    host.run("apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy nginx")
    # As dpkg leaves it where the power goes in that moment.
    cut_off = "/^Package: nginx$/,/^$/ s/^Status: .*/Status: install reinstreq half-installed/"
    host.run(["sed", "-i", cut_off, "/var/lib/dpkg/status"])
    assert "in a mess" in host.run("dpkg --audit", check=False).stdout
    project = make_project(host).program(APT)
    project.up()
    assert host.run("dpkg --audit").stdout == ""
    project.unchanged()


def test_a_host_that_reboots_in_mid_change_is_finished_by_the_next_up(
    make_project: Callable[..., Project], make_host: Callable[[], Host]
) -> None:
    host = make_host()
    project = make_project(host).program(APT.replace("'here'", "'there'"))
    process = project.start("up", "--yes", "--skip-preview")
    wait_for("dpkg to be at work", lambda: on_host(host, "/usr/bin/dpkg "))
    host.reboot()
    broken = project.finish(process, "up", time.monotonic())
    assert broken.code != 0
    broken.has('web1: Packages "web"').lacks("Traceback")
    project.up()
    assert host.run("curl -sS http://127.0.0.1:8088/").stdout == "there"
    project.unchanged()
    host.reboot()
    project.unchanged()


def test_ctrl_c_during_a_change_leaves_no_traceback_and_no_lock(project: Project, module_host: Host) -> None:
    host = module_host
    host.run(["rm", "-f", GO])
    project.program(SLOW.format(content="one", test=HOLD))
    process = project.start("up", "--yes", "--skip-preview")
    wait_for("the test to run", lambda: on_host(host, GO))
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(1)
    host.run(["touch", GO])
    ended = project.finish(process, "up", time.monotonic())
    assert ended.code != 0
    ended.lacks("Traceback", "KeyboardInterrupt")
    gone(project, host)
    project.program(SLOW.format(content="one", test="true")).up()
    project.unchanged()
    project.destroy()


def test_ctrl_c_while_the_program_runs_leaves_no_traceback(project: Project, module_host: Host) -> None:
    at_work = project.folder / "at-work"
    touch = f"open({str(at_work)!r}, 'w').close()"
    project.program(f"import time\nprint('at work', flush=True)\n{touch}\ntime.sleep(600)\n")
    process = project.start("up", "--yes", "--skip-preview")
    wait_for("the program to be at work", at_work.exists)
    os.killpg(process.pid, signal.SIGINT)
    ended = project.finish(process, "up", time.monotonic())
    ended.has("at work").lacks("Traceback", "KeyboardInterrupt")
    gone(project, module_host)
