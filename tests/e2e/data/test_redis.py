"""Tests Redis in a private container on a real host: its logins, a rotation under load, and kept data."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.host.test_host_secrets import everything_under, spellings
from tests.e2e.host.watch import Sampler, wait_for
from tests.e2e.project import Project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.pytest_lab import Host, Lab

ADDRESS = "172.17.0.1:6379"
SECRETS = "/etc/portcullis/secrets"
ACL = "/etc/portcullis/redis/redis/users.acl"
PROGRAM = """
from portcullis.components import DockerEngine, DockerEngineArgs, Redis, RedisArgs, SecretFiles
from portcullis.host import Host

host = Host("web1", os="debian-13")
engine = DockerEngine("docker", DockerEngineArgs(), host=host)
"""
STORE = """
args = RedisArgs(image="{image}", memory=64, rotate={rotate!r}, tls={tls})
use = Redis("redis", args, engine=engine, overcommit=False).uses("api")
moves = pulumi.ResourceOptions(depends_on=use.depends_on)
SecretFiles("api-secrets", use.files, owner="65534:65534", host=host, opts=moves)
"""
AS_SOMEBODY = """
read -r REDISCLI_AUTH
[ -z "$REDISCLI_AUTH" ] || export REDISCLI_AUTH
exec redis-cli --no-auth-warning "$@" 2>&1
"""
PING = "exec 3<>/dev/tcp/172.17.0.1/6379; printf 'PING\\r\\n' >&3; timeout 5 head -1 <&3 | tr -cd '[ -~]'"
APP = Path(__file__).with_name("redis_app.py")


@dataclass
class Standing:
    """A project with Redis, and helpers that run commands on its host."""

    project: Project
    image: str
    rotate: str | None = None
    tls: bool = False

    @property
    def host(self) -> Host:
        return self.project.host

    def declare(self, **changes: Any) -> Project:
        for name, value in changes.items():
            setattr(self, name, value)
        text = STORE.format(image=self.image, rotate=self.rotate, tls=self.tls)
        return self.project.program(PROGRAM + text)

    def same(self) -> None:
        """Assert that a preview finds no difference."""
        self.project.preview("--expect-no-changes")

    def credential(self, of: str) -> tuple[str, str]:
        """Return the name and password of a user, from the secret files."""
        if of == "ops":
            user, password = self.host.read(f"{SECRETS}/redis-secrets/ops").split()
            return user, password
        found = re.match(
            r"rediss?://([^:]+):([^@]+)@redis:6379/0\Z", self.host.read(f"{SECRETS}/api-secrets/redis_url")
        )
        assert found
        return found[1], found[2]

    def ask(self, *words: str, user: str = "", password: str = "") -> str:
        """Send a command as a user, with redis-cli in the container.

        redis-cli reads the password from its input.
        """
        login = ["--user", user] if user else []
        login += ["-h", "redis", "--tls", "--cacert", "/run/secrets/ca.crt"] if self.tls else []
        done = self.host.run(
            ["docker", "exec", "-i", "redis", "sh", "-c", AS_SOMEBODY, "sh", *login, *words],
            text=f"{password}\n",
            check=False,
        )
        return done.stdout.strip()

    def as_(self, of: str, *words: str) -> str:
        user, password = self.credential(of)
        return self.ask(*words, user=user, password=password)

    def load(self, folder: str, how: str = "goes on") -> None:
        """Start the app that writes to Redis all the time."""
        self.host.run(["mkdir", "-p", folder])
        self.host.write(f"{folder}/app.py", APP.read_text())
        argv = ["python3", f"{folder}/app.py", f"{SECRETS}/api-secrets/redis_url", folder, ADDRESS, how]
        self.host.run(["systemd-run", "--quiet", "--collect", "--working-directory=/", *argv])
        wait_for("the app writes", lambda: self.exists(f"{folder}/going"))

    def loaded(self, folder: str) -> dict[str, Any]:
        """Wait for the end of the app. Return the report of the app."""
        wait_for("the app ends", lambda: self.exists(f"{folder}/done"))
        told: dict[str, Any] = json.loads(self.host.read(f"{folder}/done"))
        return told

    def exists(self, path: str) -> bool:
        return self.host.run(["test", "-e", path], check=False).returncode == 0

    def pid(self) -> str:
        found = self.host.run("docker top redis -eo pid,comm | awk '$2 == \"redis-server\" {print $1}'")
        return found.stdout.strip()


@pytest.fixture(scope="module")
def standing(module_host: Host, lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    project = Project(tmp_path_factory.mktemp("redis") / "redis", module_host, name="redis")
    made = Standing(project, lab.image("redis:7"))
    made.declare().up("--diff")
    yield made
    project.close()


@pytest.mark.once
def test_only_who_has_a_password_gets_in_and_an_app_is_no_administrator(standing: Standing) -> None:
    standing.same()
    user, password = standing.credential("api")
    assert user == "api-1"
    assert standing.as_("api", "set", "a", "1") == "OK"
    assert standing.as_("ops", "ping") == "PONG"
    assert "WRONGPASS" in standing.ask("ping", user=user, password="x" * 40)
    assert "WRONGPASS" in standing.ask("ping", user="default", password=password)
    assert standing.ask("ping").startswith("NOAUTH")
    # From the host, and without logging in at all.
    bare = standing.host.run(["bash", "-c", PING])
    assert bare.stdout.startswith("-NOAUTH")
    for line in (
        "flushall",
        "keys *",
        "config get *",
        "acl list",
        "shutdown",
        "replicaof no one",
        "debug jmap",
    ):
        assert re.match("NOPERM|ERR DEBUG", standing.as_("api", *line.split())), line
    assert standing.as_("ops", "get", "a").startswith("NOPERM")


def test_users_by_hand_show_by_name_and_are_taken_away(standing: Standing) -> None:
    ops, password = standing.credential("ops")
    standing.ask("acl", "setuser", "mallory", "on", "nopass", "~*", "+@all", user=ops, password=password)
    standing.ask("acl", "setuser", "api-1", "+@all", user=ops, password=password)
    standing.host.run(f"echo 'user trudy on nopass ~* +@all' >> {ACL}")
    assert standing.ask("dbsize", user="mallory", password="any") == "1"
    standing.project.preview().has(
        'mallory: "in the running server"',
        'trudy  : "in the file"',
        '"on (the declared password) ~* &* +@all"',
    )
    standing.project.up()
    assert "WRONGPASS" in standing.ask("dbsize", user="mallory", password="any")
    assert "trudy" not in standing.host.read(ACL)
    assert standing.as_("api", "flushall").startswith("NOPERM")


@pytest.mark.once
def test_rotation_under_load_fails_no_request_and_ends_the_old_credential(standing: Standing) -> None:
    host = standing.host
    old = {of: standing.credential(of) for of in ("api", "ops")}
    folder = "/run/rotation"
    standing.load(folder)
    started = host.run("docker inspect -f '{{.State.StartedAt}}' redis").stdout
    with Sampler(host) as seen:
        standing.declare(rotate="2026-12")
        rotated = standing.project.up("--diff")
    host.run(["touch", f"{folder}/stop"])
    told = standing.loaded(folder)
    rotated.has("+-portcullis:index:RedisUser: (replace)", "~ user")
    assert told["failed"] == []
    assert told["users"] == ["api-1", "api-2"]
    assert host.run("docker inspect -f '{{.State.StartedAt}}' redis").stdout == started
    for user, password in old.values():
        assert "WRONGPASS" in standing.ask("ping", user=user, password=password)
    assert standing.as_("api", "get", "count") == str(told["count"])
    listed = [line.split()[1] for line in standing.as_("ops", "acl", "list").splitlines() if line]
    assert sorted(listed) == ["_ops-2", "api-2", "default"]

    places = {
        "a command line": "\n".join(seen.commands),
        "an environment on the host": "\n".join(seen.environments),
        "what Pulumi prints": rotated.output,
        "the project's folder": everything_under(standing.project.folder),
        "the journal": host.run("journalctl --sync; journalctl -q --no-pager -o export").stdout,
        "records on the host": host.run("grep -ra '' /var/lib/portcullis").stdout,
        "docker inspect": host.run("docker inspect redis; docker logs redis 2>&1").stdout,
    }
    secrets = [password for of in ("api", "ops") for _, password in (old[of], standing.credential(of))]
    for where, text in places.items():
        for secret in secrets:
            assert not [spelling for spelling in spellings(secret) if spelling in text], where


@pytest.mark.once
def test_a_killed_server_has_what_had_reached_its_log(standing: Standing) -> None:
    folder = "/run/killed"
    standing.load(folder, "stops")
    known = int(standing.as_("api", "get", "count"))
    volume = standing.host.run("docker volume inspect -f '{{.Mountpoint}}' redis-data").stdout.strip()
    standing.as_("api", "set", "after", "what-was-known")  # the log has it after that
    logged = ["grep", "-rqax", "what-was-known.", volume]
    wait_for("the log to have both", lambda: standing.host.run(logged, check=False).returncode == 0)
    pid = standing.pid()
    standing.host.run(["kill", "-9", pid])
    told = standing.loaded(folder)
    wait_for("it is back", lambda: standing.as_("ops", "ping") == "PONG")
    assert standing.pid() != pid
    kept = int(standing.as_("api", "get", "count"))
    # A write that was under way may be there without having been acknowledged.
    assert known <= kept <= told["count"] + 1


@pytest.mark.once
def test_data_survives_the_store_itself_which_may_come_back_with_tls(standing: Standing) -> None:
    host, project = standing.host, standing.project
    standing.as_("api", "set", "kept", "yes")
    project.program(PROGRAM)
    project.up()
    assert not standing.exists("/etc/portcullis/redis")
    assert not standing.exists(SECRETS)
    assert host.run("docker ps -aq").stdout == ""
    assert host.run("docker volume ls -q").stdout.split() == ["redis-data"]

    standing.declare(tls=True).up()
    assert standing.credential("api")[0] == "api-1"
    assert standing.as_("api", "get", "kept") == "yes"
    assert host.read(f"{SECRETS}/api-secrets/redis_url").startswith("rediss://")
    assert host.read(f"{SECRETS}/api-secrets/redis_ca.crt").startswith("-----BEGIN CERTIFICATE-----")
    assert not host.run(["bash", "-c", PING]).stdout
    standing.same()
