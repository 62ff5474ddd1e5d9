"""Tests the component MongoDB on a real host: its logins, drift, a rotation, and kept data.

The server is the lab's stand-in: FerretDB on SQLite, with roles. docs/lab-images.md describes
this stand-in. The tests of features that only the official server has are in
tests/components/mongodb/test_mongo.py.
"""

from __future__ import annotations

import contextlib
import functools
import json
import socket
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient
from pymongo.errors import AutoReconnect, OperationFailure, PyMongoError

from lab import keys, machine
from tests.e2e.host.watch import wait_for
from tests.e2e.project import Project
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lab.pytest_lab import Host, Lab

PROGRAM = """
from portcullis.components import DatabaseArgs, ExistingDockerEngine, MongoDB, MongoDBArgs, SecretFiles
from portcullis.host import Host

host = Host("web1")
# Docker is not what is tested here: it stays when the store's stack goes.
mongo = MongoDB("{name}", MongoDBArgs(
    image="{image}", memory=512, rotate={root!r}, host_port={port},
    databases={{"shop": DatabaseArgs(rotate={shop!r}), "crm": DatabaseArgs()}}, tls={tls},
), engine=ExistingDockerEngine("docker", host=host))
use = mongo.uses("shop")
# Stands for the app: it moves when the user's name changes, and before the old user goes.
moves = pulumi.ResourceOptions(depends_on=use.depends_on)
SecretFiles("{name}-app", use.files, owner="999:999", host=host, opts=moves)
"""
SECRETS = "/etc/portcullis/secrets"
local = functools.cache(free_port)  # the tunnel's end on this machine


@pytest.fixture(scope="module")
def module_host(docker_host: Host) -> Host:
    return docker_host


@pytest.fixture(scope="module")
def host(module_host: Host) -> Host:
    return module_host


@pytest.fixture(scope="module")
def program(lab: Lab) -> Callable[..., str]:
    image = lab.image("mongo:8")

    def text(name: str = "mongo", **words: Any) -> str:
        return PROGRAM.format(
            image=image, name=name, **{"root": None, "shop": None, "port": 27017, "tls": False} | words
        )

    return text


@pytest.fixture(scope="module")
def standing(
    host: Host, program: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp("mongo") / "mongo", host, name="mongo")
    project.program(program()).up()
    yield project
    project.close()


@pytest.fixture(scope="module", autouse=True)
def tunnel(standing: Project) -> Iterator[None]:
    """Open a tunnel to the port of the store, as a person does."""
    host = standing.host
    known = keys.known_hosts(host.name, host.address)
    argv = [
        *machine.ssh_argv(host.record, known, keys.client_key()),
        "-N",
        "-L",
        f"{local()}:172.17.0.1:27017",
    ]
    process = subprocess.Popen(argv)
    try:
        wait_for("the tunnel", lambda: _connects(local()))
        yield
    finally:
        process.terminate()
        process.wait()


def _connects(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def unchanged(project: Project) -> None:
    """Assert that a preview finds no difference."""
    project.preview("--expect-no-changes")


def url(host: Host) -> str:
    """Return the connection string of the app, changed so that it goes through the tunnel."""
    return host.read(f"{SECRETS}/mongo-app/mongo_shop_url").replace("@mongo:27017/", f"@127.0.0.1:{local()}/")


def client(address: str) -> MongoClient[dict[str, Any]]:
    return MongoClient(address, serverSelectionTimeoutMS=5000, socketTimeoutMS=5000)


def as_root(host: Host, password: str | None = None) -> MongoClient[dict[str, Any]]:
    password = password or host.read(f"{SECRETS}/mongo/root-password").strip()
    return client(f"mongodb://root:{password}@127.0.0.1:{local()}/?directConnection=true&authSource=admin")


def refused(address: str) -> bool:
    with client(address) as one, pytest.raises(OperationFailure) as error:
        one.shop.items.find_one({})
    return error.value.code in (13, 18)


def users(host: Host) -> set[str]:
    with as_root(host) as root:
        found = root.admin.command("usersInfo", {"forAllDBs": True})["users"]
    return {f"{user['user']}@{user['db']}" for user in found}


@pytest.mark.once
def test_an_app_reads_and_writes_its_own_database_and_nothing_more(standing: Project) -> None:
    unchanged(standing)
    host = standing.host
    with client(url(host)) as app:
        app.shop.items.insert_one({"_id": "first"})
        assert [item["_id"] for item in app.shop.items.find({})] == ["first"]
        for database in ("crm", "admin"):
            with pytest.raises(OperationFailure, match="not authorized"):
                app[database].items.insert_one({})
        with pytest.raises(OperationFailure, match="not authorized"):
            app.shop.command("usersInfo", 1)
    password = url(host).split(":")[2].split("@")[0]
    assert refused(url(host).replace(password, "wrong"))
    assert refused(f"mongodb://127.0.0.1:{local()}/?directConnection=true")
    nobody = client(f"mongodb://127.0.0.1:{local()}/?directConnection=true")
    with nobody, pytest.raises(OperationFailure):
        nobody.list_database_names()
    assert users(host) == {"root@admin", "shop-1@shop", "crm-1@crm"}


@pytest.mark.once
def test_no_secret_is_anywhere_but_in_its_files(standing: Project) -> None:
    host = standing.host
    secrets = [
        host.read(f"{SECRETS}/mongo/root-password").strip(),
        *(host.read(f"{SECRETS}/mongo-users/{name}").strip() for name in ("shop", "crm")),
    ]
    assert all(len(secret) == 40 for secret in secrets)
    places = (
        "docker inspect mongo", "docker logs mongo 2>&1", "ps axeww",
        "journalctl --sync; journalctl -q --no-pager",
        "cat /var/lib/portcullis/items/*/*", "cat /root/.*_history 2>/dev/null; true",
    )  # fmt: skip
    seen = {place: host.run(place).stdout for place in places}
    seen["state"] = standing.run("stack", "export").output
    seen["the server's environment"] = host.run(
        "for p in $(docker top mongo -o pid | tail -n +2); do tr '\\0' '\\n' < /proc/$p/environ; done"
    ).stdout
    for place, text in seen.items():
        assert text or "history" in place, place
        assert not [secret for secret in secrets if secret in text], place
    assert "root-password" in seen["docker inspect mongo"]
    modes = host.run(f"stat -c '%a %u' {SECRETS} {SECRETS}/mongo {SECRETS}/mongo/root-password").stdout
    assert modes == "700 0\n500 999\n400 999\n"
    inspected = json.loads(seen["docker inspect mongo"])[0]
    assert "--auth" in inspected["Config"]["Cmd"]
    assert "--networkMessageCompressors=snappy,zstd" in inspected["Config"]["Cmd"]
    assert inspected["NetworkSettings"]["Ports"] == {
        "27017/tcp": [{"HostIp": "172.17.0.1", "HostPort": "27017"}]
    }
    assert len(host.run("docker volume ls -q").stdout.split()) == 1, "the image's other volume is a tmpfs"


def test_what_is_changed_by_hand_is_shown_by_name_and_mended(standing: Project) -> None:
    host = standing.host
    with as_root(host) as root:
        root.shop.command("updateUser", "shop-1", pwd="by-hand", roles=[{"role": "dbOwner", "db": "shop"}])
        root.admin.command("createUser", "mallory", pwd="x", roles=[{"role": "root", "db": "admin"}])
        root.crm.command("dropUser", "crm-1")
    standing.preview().has(
        'login : "refused" => "works"', '- dbOwner@shop : "granted"', '+ readWrite@shop: "granted"',
        '- mallory@admin: "root@admin"', 'login : "<absent>" => "works"',
    )  # fmt: skip
    standing.up()
    assert users(host) == {"root@admin", "shop-1@shop", "crm-1@crm"}
    with client(url(host)) as app:
        assert app.shop.items.count_documents({}) == 1
    # Root itself: by whom it was changed the last time is in state.
    with as_root(host) as root:
        root.admin.command("updateUser", "root", pwd="by-hand")
    standing.preview().has('login : "refused" => "works"', 'server: "refuses the login of root"')
    standing.up(fails=True).has("refuses the login of root", "former_password")
    with as_root(host, "by-hand") as root:
        root.admin.command("updateUser", "root", pwd=host.read(f"{SECRETS}/mongo/root-password").strip())


def test_a_pipe_in_place_of_the_password_hangs_nothing(standing: Project) -> None:
    path, kept = f"{SECRETS}/mongo/root-password", "/root/root-password"
    standing.host.run(f"mv {path} {kept} && mkfifo {path}")
    standing.preview(fails=True).has(f"the agent cannot read the secret file {path}: Invalid argument")
    standing.host.run(f"rm {path} && mv {kept} {path}")
    unchanged(standing)


@pytest.mark.once
def test_acknowledged_writes_are_there_after_kill_9_and_a_stopped_server_is_started(
    standing: Project,
) -> None:
    host = standing.host
    acknowledged: list[int] = []
    stop = threading.Event()

    def write() -> None:
        with client(url(host)) as app:
            number = 0
            while not stop.is_set():
                number += 1
                with contextlib.suppress(PyMongoError):
                    app.shop.writes.insert_one({"_id": number})
                    acknowledged.append(number)

    writer = threading.Thread(target=write)
    writer.start()
    wait_for("writes", lambda: len(acknowledged) > 50)
    started = host.run("docker inspect -f '{{.State.StartedAt}}' mongo").stdout
    host.run("kill -9 $(docker top mongo -o pid | tail -n +2)")
    before = len(acknowledged)
    wait_for("writes after the restart", lambda: len(acknowledged) > before + 20)
    stop.set()
    writer.join()
    assert host.run("docker inspect -f '{{.State.StartedAt}}' mongo").stdout != started
    with client(url(host)) as app:
        found = {item["_id"] for item in app.shop.writes.find({})}
    assert not set(acknowledged) - found

    host.run("docker kill mongo")
    standing.preview().has(
        'server: "does not answer: the store\'s container does not run" => "answers"', "mustRun"
    )
    standing.up()


def test_rotation_moves_users_and_root_and_refuses_what_was_before(
    standing: Project, program: Callable[..., str]
) -> None:
    host = standing.host
    old, old_root = url(host), host.read(f"{SECRETS}/mongo/root-password").strip()
    with client(old) as open_since_before:
        open_since_before.shop.items.find_one({})
        standing.program(program(shop="2026-12", root="2026-12"))
        standing.up()
        with pytest.raises((OperationFailure, AutoReconnect)):
            open_since_before.shop.items.find_one({})
    assert "shop-2:" in url(host)
    with client(url(host)) as app:
        assert app.shop.items.count_documents({}) == 1
    assert refused(old)
    assert users(host) == {"root@admin", "shop-2@shop", "crm-1@crm"}
    assert refused(f"mongodb://root:{old_root}@127.0.0.1:{local()}/?directConnection=true&authSource=admin")
    unchanged(standing)


def test_a_first_start_that_was_cut_off_is_said_and_nothing_is_wiped(
    standing: Project, program: Callable[..., str], make_project: Callable[..., Project]
) -> None:
    host = standing.host
    folder = host.run(
        "docker volume create cut-data >/dev/null && docker volume inspect -f '{{.Mountpoint}}' cut-data"
    ).stdout.strip()
    host.run(f"touch {folder}/WiredTiger {folder}/storage.bson && chown -R 999:999 {folder}")
    project = make_project().program(program("cut", port=27018))
    project.up(fails=True).has(
        "has data files but no user root: its first start was interrupted",
        "docker volume rm cut-data",
        "createUser",
    )
    project.destroy()
    assert {"WiredTiger", "storage.bson"} <= set(host.run(f"ls {folder}").stdout.split())
    host.run("docker volume rm cut-data")


@pytest.mark.once
def test_data_survive_destroy_and_the_next_stack_takes_them_over_with_tls(
    standing: Project, program: Callable[..., str], tmp_path: Path
) -> None:
    host = standing.host
    in_clear = url(host)
    with client(in_clear) as app:
        app.shop.items.replace_one({"_id": "first"}, {"_id": "first"}, upsert=True)
    standing.destroy()
    assert host.run(f"ls {SECRETS}", check=False).stdout == ""
    folder = "/var/lib/docker/volumes/mongo-data/_data"
    kept = f"{folder}/portcullis-root-password"
    assert host.run(f"stat -c '%a %u' {kept}").stdout == "400 0\n"
    standing.program(program(tls=True)).up()
    assert host.run(f"ls {kept}", check=False).returncode != 0
    (tmp_path / "ca.pem").write_text(host.read(f"{SECRETS}/mongo-app/mongo_ca.pem"))
    over_tls = url(host).replace("/run/secrets/mongo_ca.pem", str(tmp_path / "ca.pem"))
    # The certificate is for the names that apps and the host use, and not for this end of the tunnel.
    with client(f"{over_tls}&tlsAllowInvalidHostnames=true") as app:
        assert [item["_id"] for item in app.shop.items.find({})] == ["first"]
    with client(in_clear) as app, pytest.raises(PyMongoError):
        app.shop.items.find_one({})
    unchanged(standing)
