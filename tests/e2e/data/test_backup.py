"""Tests backups on a real host. The unit of a timer makes them, and a restore brings lost data back.

In place of MongoDB's server and tools the lab has FerretDB and stand-ins: see docs/lab-images.md.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pymongo
import pytest

from tests.e2e.host.watch import cursor, journal, wait_for
from tests.e2e.project import STACK, Project
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lab.pytest_lab import Host, Lab

PROGRAM = """
from portcullis.components import (
    Backup,
    BackupsArgs,
    BackupSource,
    DatabaseArgs,
    DockerEngine,
    DockerEngineArgs,
    MongoDB,
    MongoDBArgs,
    PostgresDatabaseArgs,
    PostgreSQL,
    PostgreSQLArgs,
    Redis,
    RedisArgs,
    ResticArgs,
    Upkeep,
    UpkeepArgs,
)
from portcullis.host import Host

OS = "debian-13"
tell = File("tell", host="web1", path="/usr/local/bin/tell", mode="0755",
            content='#!/bin/sh\\necho "$@" >> /var/log/told\\n')
Upkeep("upkeep", UpkeepArgs(image_prune="never", time_sync=False, notify=("/usr/local/bin/tell",)),
       host=Host("web1", OS))
host = Host("web1", os=OS)
engine = DockerEngine("docker", DockerEngineArgs(), host=host)
redis = Redis("redis", RedisArgs(image="{redis}"), engine=engine, overcommit=False)
mongo_args = MongoDBArgs(image="{mongo}", databases={{"shop": DatabaseArgs()}}, memory=512, avx=False)
mongo = MongoDB("mongo", mongo_args, engine=engine)
postgres_args = PostgreSQLArgs(
    image="{postgres}", databases={{"shop": PostgresDatabaseArgs()}}, memory=128, user="999:999"
)
postgres = PostgreSQL("postgres", postgres_args, engine=engine)
sources = {{name: BackupSource(kind=name, container=name) for name in ("redis", "mongo")}}
sources["postgres.shop"] = BackupSource(kind="postgres", container="postgres", database="shop")
secret = {{"AWS_SECRET_ACCESS_KEY": pulumi.Output.secret("planted-key")}}
backup = Backup(
    "backup",
    BackupsArgs(keep=3, restic=ResticArgs(repository="/srv/restic", environment=secret)),
    host=host,
    stores=sources,
    opts=pulumi.ResourceOptions(depends_on=[redis, mongo, postgres]),
)
pulumi.export("restic", backup.restic_password)
pulumi.export("root", mongo.root_password)
pulumi.export("url", redis.uses("app").files["redis_url"])
pulumi.export("shop", postgres.uses("app", "shop").files["postgres_shop_url"])
"""
UNIT = "portcullis-backup.service"
FOLDER = "/var/backups/portcullis"


@pytest.fixture(scope="module")
def program(lab: Lab) -> str:
    return PROGRAM.format(
        redis=lab.image("redis:7"), mongo=lab.image("mongo:8"), postgres=lab.image("postgres:17")
    )


@pytest.fixture(scope="module")
def standing(program: str, module_host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp("backup") / "backup", module_host, name="backup")
    project.program(program).up()
    yield project
    project.close()


@dataclass(frozen=True)
class App:
    """A client of Redis that logs in as the user of an app."""

    host: Host
    user: str
    password: str

    def __call__(self, *words: str, stdin: str = "/dev/null") -> str:
        argv = ["docker", "exec", "-i", "-e", f"REDISCLI_AUTH={self.password}", "redis", "redis-cli"]
        line = shlex.join([*argv, "--no-auth-warning", "--user", self.user, *words])
        return self.host.run(f"{line} <{stdin}", check=False).stdout.strip()


@pytest.fixture(scope="module")
def secrets(standing: Project) -> dict[str, str]:
    return outputs(standing)


def outputs(project: Project) -> dict[str, str]:
    """Return the outputs of the stack, with secrets."""
    said = project.run("stack", "output", "--show-secrets", "--json").output
    found: dict[str, str] = json.loads(said[said.index("{") :])
    return found


@pytest.fixture(scope="module")
def redis(standing: Project, secrets: dict[str, str]) -> App:
    return app(standing.host, secrets["url"])


def app(host: Host, url: str) -> App:
    parts = urlsplit(url)
    return App(host, str(parts.username), str(parts.password))


@pytest.fixture(scope="module")
def mongo(standing: Project, secrets: dict[str, str]) -> Iterator[pymongo.MongoClient[dict[str, object]]]:
    """Return a client that is logged in as MongoDB's administrator, through a tunnel."""
    port = free_port()
    ssh = ["ssh", "-F", str(config(standing)), "-S", "none", "-o", "ExitOnForwardFailure=yes", "-N"]
    tunnel = subprocess.Popen([*ssh, "-L", f"127.0.0.1:{port}:172.17.0.1:27017", "web1"])
    try:
        with pymongo.MongoClient(
            f"mongodb://root:{secrets['root']}@127.0.0.1:{port}/?directConnection=true", timeoutMS=10000
        ) as client:
            yield client
    finally:
        tunnel.kill()
        tunnel.wait()


def query(host: Host, url: str, sql: str) -> str:
    """Run SQL on PostgreSQL as the user of an app. Return what it prints, or the error."""
    argv = ["docker", "exec", "-e", f"URL={url.replace('@postgres:', '@127.0.0.1:')}", "postgres"]
    argv += ["sh", "-c", 'exec psql -XAtqw "$URL" -c "$0" 2>&1', sql]
    return str(host.run(argv, check=False).stdout).strip()


def config(project: Project) -> Path:
    return project.folder / ".portcullis" / STACK / "ssh_config"


def restore(project: Project, *arguments: str, fails: bool = False) -> str:
    """What `make restore` runs, from a project's folder; everything that it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "portcullis", "restore", "--stack", STACK, "--host", "web1", *arguments],
        cwd=project.folder, env=project.env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False, timeout=600,
    )  # fmt: skip
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


def unchanged(project: Project) -> None:
    """Assert that a preview finds no difference, and that all backups are fresh."""
    project.preview("--expect-no-changes").lacks("BackupStatus")


def status(host: Host) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(host.read(f"{FOLDER}/status.json"))
    return found


def dumps(host: Host, store: str) -> list[str]:
    """Return the names of a store's dumps, with the newest at the end."""
    return host.run(f"ls {FOLDER}/{store}").stdout.split()


def back_up(host: Host, *, fails: bool = False) -> str:
    """Run the unit of the backup timer. Return the unit's log."""
    since = cursor(host)
    done = host.run(["systemctl", "start", UNIT], check=False)
    said = journal(host, since, "-u", UNIT)
    assert (done.returncode != 0) == fails, said
    return said


def test_the_first_up_takes_the_first_backup_for_root_alone(standing: Project) -> None:
    host = standing.host
    unchanged(standing)
    assert set(status(host)) == {"redis", "mongo", "postgres.shop", "restic"}
    modes = host.run(
        f"find {FOLDER} /etc/portcullis-backup /srv/restic -maxdepth 1 -printf '%m %u %p\\n'"
    ).stdout
    assert {line[:8] for line in modes.splitlines()} <= {"400 root", "600 root", "700 root"}, modes
    assert "03:30:00" in host.run("systemctl show -P TimersCalendar portcullis-backup.timer").stdout


@pytest.mark.once
def test_what_is_gone_comes_back(
    standing: Project, redis: App, mongo: pymongo.MongoClient[Any], secrets: dict[str, str]
) -> None:
    host = standing.host
    redis("mset", "a", "1", "b", "2")
    redis("set", "ends", "soon", "ex", "3600")
    mongo.shop.items.insert_many([{"_id": n, "name": f"item {n}"} for n in range(40)])
    mongo.shop.items.create_index("name")
    mongo.other.things.insert_one({"_id": 1})
    query(host, secrets["shop"], "CREATE TABLE orders AS SELECT generate_series(1, 50) AS id")
    said = back_up(host)
    assert "redis: 3 keys" in said
    assert "mongo: 41 documents" in said
    assert "postgres.shop: 50 rows" in said
    redis("del", "a", "b", "ends")
    redis("set", "newer", "1")
    mongo.shop.items.drop()
    mongo.other.things.insert_one({"_id": 2})
    query(host, secrets["shop"], "DROP TABLE orders; CREATE TABLE newer ()")

    listed = restore(standing)
    assert listed.count(" keys ") == listed.count(" documents ") == listed.count(" rows ") == 2, listed
    assert "--yes" in restore(standing, "--from", "latest", "redis", fails=True)
    said = restore(standing, "--yes", "--from", "latest", "redis")
    assert "redis has 3 keys now" in said, said
    assert redis("mget", "a", "b", "newer").split() == ["1", "2"]
    assert int(redis("ttl", "ends")) > 0, "it still ends"
    host.run("docker kill redis && docker start redis")
    wait_for("Redis", lambda: redis("ping") == "PONG")
    assert redis("mget", "a", "b").split() == ["1", "2"], "the append-only file has it"

    said = restore(standing, "--yes", "--from", "latest", "mongo.shop")
    assert "mongo: 40 documents restored" in said, said
    assert mongo.shop.items.count_documents({}) == 40
    assert "name_1" in mongo.shop.items.index_information()
    assert mongo.other.things.count_documents({}) == 2, "another database is left alone"

    assert "has a backup of each" in restore(standing, "postgres", fails=True)
    said = restore(standing, "--yes", "--from", "latest", "postgres.shop")
    assert "postgres.shop is restored" in said, said
    tables = "SELECT count(*), (SELECT string_agg(tablename || tableowner, ' ') FROM pg_tables"
    tables += " WHERE schemaname = 'public') FROM orders"
    assert query(host, secrets["shop"], tables) == "50|ordersshop"
    unchanged(standing)


@pytest.mark.once
def test_what_a_restore_set_aside_undoes_it(standing: Project, redis: App) -> None:
    known = set(dumps(standing.host, "redis"))
    redis("set", "a", "1")
    back_up(standing.host)
    redis("del", "a")
    redis("set", "newer", "1")
    time.sleep(1)  # a dump is named by its second
    restore(standing, "--yes", "--from", "latest", "redis")
    assert redis("exists", "a", "newer") == "1"
    (aside,) = [name for name in set(dumps(standing.host, "redis")) - known if "before-restore" in name]
    restore(standing, "--yes", "--from", aside.partition("_")[0], "redis")
    assert (redis("exists", "a"), redis("get", "newer")) == ("0", "1")


@pytest.mark.once
def test_copies_come_back_when_the_host_has_lost_its_dumps(
    standing: Project, redis: App, mongo: pymongo.MongoClient[Any]
) -> None:
    host = standing.host
    redis("set", "a", "1")
    mongo.other.things.replace_one({"_id": 1}, {"_id": 1}, upsert=True)
    mongo.other.things.delete_one({"_id": 2})
    back_up(host)
    host.run(f"rm -r {FOLDER}/redis {FOLDER}/mongo {FOLDER}/postgres.shop")
    standing.preview().has('redis: "last success', "is gone", '=> "fresh"')
    mongo.other.things.drop()
    assert "restic" in restore(standing, "redis")
    assert "fetched from the restic repository" in restore(standing, "--yes", "--from", "latest", "redis")
    restore(standing, "--yes", "--from", "latest", "mongo")
    assert redis("get", "a") == "1"
    assert mongo.other.things.count_documents({}) == 1


def test_a_backup_that_fails_is_told_of_and_an_old_one_is_a_difference(standing: Project) -> None:
    host = standing.host
    back_up(host)
    read_only = f"{FOLDER}/mongo"
    host.run(
        f"mount --bind {read_only} {read_only} && mount -o remount,ro,bind {read_only}; rm -f /var/log/told"
    )
    try:
        said = back_up(host, fails=True)
        reason = f"the backup cannot be written to {read_only}: Read-only file system"
        assert f"mongo: FAILED: {reason}" in said
        wait_for("the failure to be told of", lambda: host.run("cat /var/log/told", check=False).stdout)
        assert host.read("/var/log/told") == f"{UNIT}\n", "once"
        assert re.search("^redis: [0-9]+ keys", said, re.MULTILINE), "the other store had its turn"

        known = status(host)
        known["mongo"]["success"] -= 3 * 86400
        host.write(f"{FOLDER}/status.json", json.dumps(known))
        standing.preview().has(f'mongo: "last success 3 days ago: {reason}" => "fresh"', "~ 1 to update")
        standing.up(fails=True).has("the backup of the stores failed", f"mongo: FAILED: {reason}")
    finally:
        host.run(["umount", read_only])
    standing.up().has("1 updated")


def test_a_store_that_grows_leaves_room_for_the_others(
    standing: Project, redis: App, mongo: pymongo.MongoClient[Any]
) -> None:
    """Redis would fit into the free space, and MongoDB's dump would not fit beside it."""
    host = standing.host
    mongo.shop.items.replace_one({"_id": "large"}, {"blob": os.urandom(1 << 20)}, upsert=True)
    back_up(host)
    before = dumps(host, "mongo")[-1]
    host.run("head -c 4m /dev/urandom >/root/large")
    small = f"{FOLDER}-small"
    host.run(
        f"mkdir -m 700 {small} && mount -t tmpfs -o size=6m,mode=700 tmpfs {small} && "
        f"cp -a --parents -t {small} {FOLDER}/mongo/{before} && mount --bind {small}{FOLDER} {FOLDER}"
    )
    try:
        assert redis("-x", "set", "large", stdin="/root/large") == "OK"
        said = back_up(host, fails=True)
        assert "redis: FAILED: the output of docker does not fit into the free space" in said
        assert re.search("^mongo: [0-9]+ documents", said, re.MULTILINE), said
    finally:
        host.run(f"umount {FOLDER} {small} && rmdir {small} && rm /root/large")
        redis("del", "large")
        mongo.shop.items.delete_one({"_id": "large"})
    back_up(host)


def test_old_dumps_go_after_a_new_one_and_never_before(standing: Project) -> None:
    host = standing.host
    day = 86400
    names = {
        days: time.strftime("%Y-%m-%dT%H-%M-%SZ", time.gmtime(time.time() - days * day)) + f"_{days}.rdb"
        for days in (1, 2, 4, 9)
    }
    host.run(["sh", "-c", f'cd {FOLDER}/redis && touch mine.txt "$@"', "sh", *names.values()])
    host.run("docker stop -t 5 redis")
    back_up(host, fails=True)
    assert set(names.values()) <= set(dumps(host, "redis"))
    host.run("docker start redis")
    back_up(host)
    kept = set(dumps(host, "redis"))
    assert {names[1], names[2], "mine.txt"} <= kept
    assert not {names[4], names[9]} & kept


@pytest.mark.once
def test_no_secret_is_seen(standing: Project, secrets: dict[str, str]) -> None:
    host = standing.host
    ops = host.read("/etc/portcullis/secrets/redis-secrets/ops").split()[1]
    seen = host.run(
        "journalctl --sync; journalctl -q --no-pager; cat /root/.bash_history 2>/dev/null; "
        "docker inspect redis mongo"
    ).stdout
    seen += host.run(
        f"cat {FOLDER}/status.json /etc/portcullis-backup/config.json; grep -r . /var/lib/portcullis"
    ).stdout
    seen += "".join(path.read_text() for path in standing.folder.rglob("*.json"))
    for secret in ("planted-key", secrets["restic"], secrets["root"], ops):
        assert secret not in seen, secret


def test_without_the_component_the_job_goes_and_the_dumps_stay(standing: Project, program: str) -> None:
    host = standing.host
    head, _, tail = program.partition("backup = Backup(")
    standing.program(head + "\n".join(line for line in tail.splitlines() if "mongo.root" in line)).up()
    assert len(dumps(host, "redis")) > 2
    assert host.run("systemctl cat portcullis-backup.timer", check=False).returncode != 0
    assert host.run("ls /usr/local/sbin /usr/local/lib /etc | grep portcullis-", check=False).stdout == ""
    assert host.run("command -v restic", check=False).stdout == ""
    assert host.run("ls /srv/restic").stdout


def test_on_a_new_vps_the_copies_come_back(
    standing: Project, program: str, make_module_host: Callable[..., Host]
) -> None:
    """Follow docs/backups.md: set another address and host key, run `up`, and restore."""
    # The passwords of the old repository and the old user went with the component. So begin a new repository.
    standing.host.run("rm -rf /srv/restic")
    standing.program(program).up()
    found = outputs(standing)
    url, shop = found["url"], found["shop"]
    redis = app(standing.host, url)
    assert redis("set", "moves", "along") == "OK"
    query(standing.host, shop, "CREATE TABLE moves AS SELECT 'along' AS how")
    back_up(standing.host)
    new = make_module_host()
    packed = standing.host.run("tar -C /srv -c restic | base64").stdout
    new.run("base64 -d | tar -C /srv -x", text=packed)
    standing.program(program, address=new.address, host_key=new.host_key).up()
    there = app(new, url)
    assert there("get", "moves") == ""
    assert "fetched from the restic repository" in restore(standing, "--yes", "--from", "latest", "redis")
    assert there("get", "moves") == "along"
    assert "does not exist" in query(new, shop, "SELECT * FROM moves")
    assert re.search("mongo: [1-9][0-9]* documents", restore(standing, "--yes", "--from", "latest", "mongo"))
    restore(standing, "--yes", "--from", "latest", "postgres.shop")
    assert query(new, shop, "SELECT * FROM moves") == "along"
