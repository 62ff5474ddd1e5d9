"""The report tells what was stopped, removed or accepted, who made a change, and what cannot be read."""

from __future__ import annotations

import json
import re
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.e2e.host.watch import cursor, journal, on_host, wait_for
from tests.e2e.inventory import report
from tests.e2e.inventory.changes import holds
from tests.e2e.project import STACK
from tests.e2e.stack.program import PAGE, SITE_FILE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.stack.program import Program

# A file system that answers no request.
_HANGS = """\
import ctypes, os, time
options = b"fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other" % os.open("/dev/fuse", os.O_RDWR)
assert ctypes.CDLL(None).mount(b"hangs", b"/home/mallory/.ssh", b"fuse", 0, options) == 0
time.sleep(3600)
"""
NGINX_CONF = "/etc/nginx/nginx.conf"
# What is stopped or removed: the commands, what Pulumi's own preview shows, and a line of the report.
STOPPED = {
    "stopped": (
        (
            f"rm {SITE_FILE}; nginx -s reload; systemctl disable -q --now nginx; systemctl mask -q nginx;"
            ' sed -i \'s/"icc": false/"icc": true/\' /etc/docker/daemon.json; systemctl restart docker;'
            " docker stop -t 1 hello"
        ),
        [
            "web1-nginx-hello.example.com", "<absent>", "+ server_name hello.example.com;",
            'active : "inactive" => "active"', 'enabled: "masked" => "enabled"',
            "web1-docker-daemon.json", "~ content: (json) {", "~ icc : true => false",
            "hello-container", "mustRun: false => true",
        ],
        "hello: container is stopped — up starts it",
    ),
    "removed": (
        (
            "apt-get -qq -y remove nginx nginx-common >/dev/null;"
            " image=$(docker inspect -f '{{.Image}}' hello);"
            " docker rm -f hello; docker network rm hello; docker image rm -f $image"
        ),
        [
            "web1-nginx-packages", '+ nginx: "installed"', 'active: "<absent>" => "active"',
            "+ docker:index/network:Network: (create)",
            "+ docker:index/remoteImage:RemoteImage: (create)",
            "+ docker:index/container:Container: (create)",
        ],
        "hello: container is gone — up starts it",
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", STOPPED)
def test_what_was_stopped_or_removed_is_shown_and_mended(finished: Program, how: str) -> None:
    command, shown, line = STOPPED[how]
    finished.host.run(f"set -e; {command}")
    try:
        # Its exit code is what a gate in CI goes by.
        finished.preview("--expect-no-changes", fails=True).has(*shown)
    finally:
        said = report.text(finished, "--yes", verb="up")
    assert [one for one in said if one.strip().endswith(line)], said
    assert PAGE in finished.page()
    report.quiet(finished)
    # The running services have taken up what was mended.
    assert '"com.docker.network.bridge.enable_icc":"false"' in finished.docker(
        "network", "inspect", "bridge", "--format", "{{json .Options}}"
    )


def test_a_container_s_networks_are_mended_while_it_runs(finished: Program) -> None:
    before = report.run_of(finished, "hello")
    finished.docker("network", "connect", "bridge", "hello")
    finished.docker("network", "disconnect", "hello", "hello")
    finished.preview("--expect-no-changes", fails=True).has("bridge")
    finished.up()
    assert list(finished.inspect()["NetworkSettings"]["Networks"]) == ["hello"]
    assert report.run_of(finished, "hello") == before
    assert PAGE in finished.page()
    report.quiet(finished)


def test_a_reload_that_fails_after_a_change_by_hand_names_that_change_first(finished: Program) -> None:
    said = f'unknown directive "evnts" in {NGINX_CONF}:'
    finished.host.run(f"sed -i 's/^events {{/evnts {{/' {NGINX_CONF}")
    try:
        # The engine escapes the quotes in a text.
        shown = said.replace('"', '\\"')
        finished.preview("--expect-no-changes", fails=True).has(shown, "changed by hand")
        error = finished.up(fails=True).error
        first, found = error.find(f"{NGINX_CONF} was changed by hand"), error.find(said)
        assert 0 <= first < found, error
        assert PAGE in finished.page(), "nginx still serves with its loaded configuration"
    finally:
        finished.host.run(f"sed -i 's/^evnts {{/events {{/' {NGINX_CONF}")
    finished.up()
    report.quiet(finished)


def test_an_acceptance_takes_effect_by_itself_and_so_does_its_end(finished: Program) -> None:
    job, jail, why = "/etc/cron.d/provider", "/etc/fail2ban/jail.d/provider.conf", "tried for a day"
    leak = f"docker run -d --name leak -p 3306:8080 {finished.image('hello:1')} /bin/busybox sleep 99999"
    told = re.compile(rf"  !! {re.escape(job)}: .* — stays; remove it yourself: rm {re.escape(job)}")
    try:
        finished.host.run(f"touch {job}")
        assert list(filter(told.fullmatch, report.text(finished, verb="drift")))
        accepted = {f"file {job}": why}
        finished.set("hosts.web1", inventory={"accept": accepted})
        title, line, *_ = report.text(finished)
        assert "0 changes made by hand, 1 change in your code" in title
        assert line.strip() == f"file {job}: accepted: {why} — up no longer reports it"

        finished.host.run(leak)
        finished.set("hosts.web1", inventory={"accept": {**accepted, "container leak": why}})
        finished.set("hosts.web1", exposure={"accept": {"tcp4 172.17.0.1:3306": why}})
        assert [line for line in report.text(finished, "--yes", verb="up") if " done in " in line]
        (line,) = report.text(finished, verb="drift")
        assert report.NOTHING.fullmatch(line), line
        report.quiet(finished)

        # An acceptance is for the file and the container as they were.
        privileged = leak.replace("docker run", "docker run --privileged")
        finished.host.run(f"chmod 0666 {job}; docker rm -f leak; {privileged}")
        assert {job, "container leak"} <= {line.subject for line in report.lines(finished)}

        finished.host.run(f"docker rm -f leak; rm {job}")
        finished.preview("--expect-no-changes", fails=True).has(
            "has no effect: remove it from inventory.accept"
        )
        finished.host.run(f"{leak}; touch {job}; printf '[mine]\\nenabled = false\\n' > {jail}")
        finished.set("hosts.web1", inventory=None, exposure=None)
        assert [line for line in report.text(finished) if f"file {job}: no longer accepted" in line]
        config = finished.config()
        del config["config"]["portcullis:sites"]["second.example.com"]
        finished.write(config)
        said = finished.up().has(
            f"warning: undeclared: file {job}: file 0644 root:root",
            'warning: undeclared: tcp4 172.17.0.1:3306 by container "leak" (',
            f"{jail}: nobody declared it; sets [mine]",
            f"stays; remove it yourself: rm {jail} && ",
        )
        # A warning is no error, after which the engine would delete nothing.
        assert "deleted" in said.output
        assert "second" not in finished.host.run("ls /etc/nginx/conf.d").stdout
        assert finished.docker("inspect", "leak", "--format", "{{.State.Running}}") == "true\n"
        assert list(filter(told.fullmatch, report.text(finished)))
    finally:
        finished.set("hosts.web1", inventory=None, exposure=None)
        finished.host.run(f"docker rm -f leak; rm -f {job} {jail}; fail2ban-client reload")
    report.quiet(finished)


def test_a_change_of_the_settings_is_one_in_your_code(finished: Program) -> None:
    finished.set("apps.hello", memory=300)
    title, *lines = report.text(finished)
    finished.set("apps.hello", memory=None)
    assert title.startswith("web1: 0 changes made by hand, ")
    assert [line for line in lines if re.match(r"     hello\S*: .*memory \d+, declared 300", line)], lines


def test_a_host_that_does_not_answer_is_told_once(
    finished: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ssh").write_text(
        "#!/bin/sh\necho 'ssh: connect to host x port 22: Connection refused' >&2\nexit 255\n"
    )
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setattr(finished, "env", {**finished.env, "PATH": f"{tmp_path}:{finished.env['PATH']}"})
    done = report.read(finished)
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert said.count("error:") == 1, said
    assert len(said.splitlines()) < 10, said


def test_a_change_tells_who_was_logged_in(finished: Program) -> None:
    config = finished.folder / ".portcullis" / STACK / "ssh_config"
    timer = "/etc/systemd/system/drill-who.timer"
    made_by = f"echo [Timer] | sudo tee {timer} >/dev/null; sleep 2"
    subprocess.run(["ssh", "-F", config, "web1", made_by], check=True, timeout=600, stdin=subprocess.DEVNULL)
    try:
        (line,) = report.lines(finished)
        assert holds(line.text, (f"unit file {timer}", "while deploy, key lab", "was logged in")), line.text
        session = "sshd-session: deploy"
        wait_for("the preview's own session to end", lambda: not on_host(finished.host, session))
        time.sleep(2)  # logins are known by the second
        finished.host.run(f"touch {timer}")  # from a console
        time.sleep(2)
        (line,) = report.lines(finished)
        assert holds(line.text, ("who: unknown",)), line.text
    finally:
        finished.host.run(["rm", timer])


def test_a_home_that_hangs_holds_up_only_the_readers_of_homes(finished: Program) -> None:
    finished.host.run(
        "useradd --create-home --shell /bin/bash mallory; mkdir /home/mallory/.ssh; touch /etc/evil;"
        " [ -e /dev/fuse ] || mknod /dev/fuse c 10 229;"
        f" setsid python3 -c '{_HANGS}' >/dev/null 2>&1 </dev/null &"
    )
    try:
        wait_for("the mount", lambda: "hangs /home" in finished.host.run("cat /proc/mounts").stdout)
        told = [line.text for line in report.lines(finished)]
        for words in (
            ("reading keys", "more than 30 s"), ("reading homes", "more than 30 s"), ("/etc/evil",),
            ("mallory",),
        ):  # fmt: skip
            assert any(holds(text, words) for text in told), (words, told)
    finally:
        finished.host.run(
            "pkill -f '[f]use.*allow_other'; umount -l /home/mallory/.ssh; userdel -r mallory; rm /etc/evil"
        )
    report.quiet(finished)


def test_a_walk_that_is_too_old_is_told(finished: Program) -> None:
    kept = "/var/lib/portcullis/inventory"
    finished.host.run(f'sed -i \'s/"time": [0-9.]*/"time": 1/\' {kept}/walk.json')
    (line,) = report.lines(finished)
    assert holds(line.text, ("nightly walk", "days ago")), line.text
    since = cursor(finished.host)
    report.walk(finished)
    assert "walked in " in journal(finished.host, since, "-u", f"{report.WALK}.service")
    report.quiet(finished)
    assert json.loads(finished.host.read(f"{kept}/baseline.json"))["found"]["files"]
    assert set(finished.host.run(f"stat -c %a {kept}/*").stdout.split()) == {"600"}
