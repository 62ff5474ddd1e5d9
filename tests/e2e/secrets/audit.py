"""Runs the secrets drill.

Each secret input has a canary, which is a text that a search can find. Many things fail, and a search shows
whether a canary leaked.

`make drill-secrets` runs this file. The tests build on each other, so the order of the tests matters.
"""

from __future__ import annotations

import functools
import os
import resource
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.e2e.data.test_shop import ask, wait_until_well
from tests.e2e.host.watch import agents, wait_for
from tests.e2e.secrets import places
from tests.e2e.secrets.audited import Audited
from tests.e2e.secrets.search import allowances, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.pytest_lab import Host, Lab

DEBUG = {"PORTCULLIS_DEBUG": "1"}
AGAIN = {
    "secrets.app": "secrets.app", "secrets.env": "secrets.env", "secrets.visitor": "secrets.visitor",
    "apps.env": "apps.api.env.API_TOKEN",
    "restic.environment": "backups.restic.environment.AWS_SECRET_ACCESS_KEY",
}  # fmt: skip
"""What is changed with a rotation, and where it stands."""
KILLED = {
    "agent": signal.SIGABRT, "plugin": signal.SIGABRT, "program": signal.SIGABRT, "ssh": signal.SIGKILL,
    "engine": signal.SIGKILL,
}  # fmt: skip
"""What is killed in the middle of an `up`, and how: an abort is what a core dump follows."""


@pytest.fixture(scope="module")
def audited(lab: Lab, module_host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    lab.private_registry()
    made = Audited(tmp_path_factory.mktemp("audit") / "program", module_host)
    made.declare()
    yield made
    made.close()


def test_up_preview_refresh_and_every_verb_that_looks(audited: Audited) -> None:
    with audited.watched():
        audited.up("--diff", timeout=800)
        audited.learn()
        audited.preview()
        audited.env |= DEBUG
        audited.run("preview", "--diff", "--debug", "--show-reads", "--json")
        audited.run("refresh", "--yes", "--skip-preview", "--diff", "--debug")
        for key in DEBUG:
            del audited.env[key]
        for words in ("plan", "tunnels", "map", "policy", "report", "preview", "password redis"):
            audited.ours(*words.split())
        # All that the engine can say of itself.
        audited.run("preview", "-v=9", "--logtostderr", "--logflow", "--debug", label="pulumi -v=9")
    audited.look("after up")


def test_rotation_and_releases(audited: Audited) -> None:
    with audited.watched():
        audited.set("stores.redis", rotate="2026-12")
        audited.set("stores.mongo", rotate="2026-12", databases={"shop": {"rotate": "2026-12"}})
        for name, place in AGAIN.items():
            audited.encrypt(place, audited.renew(name).text)
        audited.set("apps.private", image=audited.private("2"))
        audited.preview()
        audited.up("--diff")
        audited.ours("rollback", "private", "--yes", "--skip-preview")


def change(audited: Audited) -> None:
    """Change a secret, so that the next `up` has to write it to the host."""
    audited.encrypt("secrets.app", audited.renew("secrets.app").text)


def test_everything_is_killed_and_may_dump_its_core(audited: Audited) -> None:
    """As badly as it can be set up: no limit on the size of a core, on either side."""
    host = audited.host
    host.write("/etc/security/limits.d/core.conf", "* - core unlimited\nroot - core unlimited\n")
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    try:
        with audited.watched():
            for part, number in KILLED.items():
                change(audited)
                process = audited.start("up", "--yes", "--skip-preview", "--diff")
                begun = time.monotonic()
                wait_for(f"the {part} to be at work", functools.partial(audited.at_work, part))
                time.sleep(0 if part == "program" else 2)
                for victim in audited.processes(part):
                    os.kill(victim.pid, number)
                audited.finish(process, "up", begun)
                wait_for("the agent to go", lambda: not agents(host))
                if part == "engine":
                    audited.cancel()
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)
    audited.look("after kills")


def test_a_full_disk_a_wrong_password_and_a_container_that_does_not_start(audited: Audited) -> None:
    with audited.watched():
        for folder in ("/etc/portcullis/secrets/api-secrets", "/var/lib/portcullis"):
            change(audited)
            fill = f"mount -t tmpfs -o size=32k tmpfs {folder}; head -c 1m /dev/zero >{folder}/filler"
            audited.host.run(fill, check=False)
            audited.fails("up")
            audited.search.tree("host file", audited.root, since=audited.since, skip=places.ALL_BUT_ETC)
            audited.host.run(f"umount {folder}")
        audited.host.run("docker image rm -f $(docker image ls -q --filter reference='*/hello')", check=False)
        audited.login(audited.renew("registry").text)
        audited.set("apps.private", image=audited.private("2"))
        audited.fails("up")
        audited.login(audited.given["registry"].text)
        audited.set("apps.private", command=["/bin/busybox", "false"])
        audited.fails("up")
        audited.set("apps.private", command=None)


def test_certbot_fails(audited: Audited) -> None:
    with audited.watched():
        key = audited.given["secrets.dns"].text
        lines = {"server": "127.0.0.1", "name": "certbot", "secret": key, "algorithm": "HMAC-SHA512"}
        text = "".join(f"dns_rfc2136_{name} = {value}\n" for name, value in lines.items())
        audited.encrypt("secrets.dns", text)
        audited.set("acme", dns={"provider": "rfc2136", "credentials": "dns", "propagation": 1})
        audited.site("dns.example.com", app="private", challenge="dns")
        audited.fails("up")
        audited.host.run("systemctl start certbot.service", check=False)
        audited.no_site("dns.example.com")
        audited.set("acme", dns=None)


def test_a_policy_refuses_and_settings_and_program_are_wrong(audited: Audited) -> None:
    with audited.watched():
        audited.site("plain.example.com", app="private", tls="none")
        assert "site-has-tls" in audited.ours("policy")
        audited.fails("preview", "--policy-pack", "policy/portcullis-policy")
        audited.site("plain.example.com", tls=None, nonsense=1)
        audited.fails("preview")
        # A person can write the secret itself where the settings expect its name.
        audited.encrypt('sites["plain.example.com"].basicAuth.vera', audited.given["secrets.visitor"].text)
        audited.fails("preview")
        audited.no_site("plain.example.com")
        file = audited.folder / "__main__.py"
        text = file.read_text()
        file.write_text(text.replace("    args = {alias", "    settings.secrets['none']\n    args = {alias"))
        for env in ({}, DEBUG):
            audited.env |= env
            audited.fails("preview")
        audited.env = {key: value for key, value in audited.env.items() if key not in DEBUG}
        file.write_text(text)


def test_sshd_is_broken_and_the_host_is_gone(audited: Audited) -> None:
    with audited.watched():
        change(audited)
        audited.host.run("systemctl stop ssh.service ssh.socket", check=False)
        audited.fails("up")
        audited.host.run("systemctl start ssh.service")
        audited.host.run("ip link set eth0 down")
        audited.fails("up")
    audited.host.reboot()


def test_backup_and_restore(audited: Audited) -> None:
    with audited.watched():
        # An address with a password in it, where nothing answers.
        secret = audited.given["restic.repository"].text
        audited.encrypt("backups.restic.repository", f"rest:http://bot:{secret}@127.0.0.1:9/web1")
        audited.up("--diff")
        # restic tries for a quarter of an hour.
        unit = "portcullis-backup.service"
        audited.host.run(f"timeout 60 systemctl start {unit}; systemctl stop {unit}", check=False)
        audited.ours("restore", "--host", "web1", "--from", "latest", "redis")
        audited.set("backups", restic={**audited.restic, "repository": "/srv/restic"})
        audited.up("--diff")
        # `latest` restores no backup without data.
        wait_until_well(audited)
        ask(audited, "/api/items", {"name": "one"})
        audited.host.run("systemctl start portcullis-backup.service")
        for store in ("redis", "mongo.shop"):
            said = audited.ours("restore", "--host", "web1", "--yes", "--from", "latest", store)
            assert "restored" in said or "keys now" in said, said
    audited.look("after failures")


def test_destroy(audited: Audited) -> None:
    with audited.watched():
        audited.destroy("--diff")
    audited.look("after destroy")


def test_nothing_is_found_elsewhere(audited: Audited) -> None:
    for recorded in audited.recorded:
        say(recorded.numbers())
    allowed = allowances()
    left = audited.search.not_allowed(allowed)
    assert not audited.unexpected
    say(audited.search.summary(left))
    unused = [one for one in allowed if not one.used]
    assert not [*left, *unused], "\n" + "\n".join(map(str, [*left, *unused]))
