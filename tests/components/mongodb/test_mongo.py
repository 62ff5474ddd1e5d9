"""The administrator and the users of a MongoDB store, against a fake of the official server."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.agent.errors import AgentError
from portcullis.agent.run import Done
from portcullis.agent.wire import decode, encode
from portcullis.components.mongodb.facts import MongoRootDesired
from portcullis.components.mongodb.on_host import mongo_store
from portcullis.components.mongodb.on_host.mongo_client import Client, LoginRefused, Refused
from tests.components.containers import docker_engine
from tests.components.mongodb.fake_mongo import FakeMongo
from tests.on_host import Client as Deployment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from portcullis.agent.machine import Machine
    from tests.components.containers.docker_engine import Engine

Json = dict[str, Any]

ROOT, NEXT, SHOP, SHOP2 = "root-password-1", "root-password-2", "shop-password-1", "shop-password-2"
USER_URN = "urn:pulumi:prod::web::portcullis:index:MongoUser::shop"


@dataclass
class Store:
    """A deployed store: its server, its secret files and its volume."""

    mongo: FakeMongo
    client: Deployment
    folder: Path
    docker: Engine
    runs: bool = True
    "the server's container; in these tests its own address is a loopback address"
    gateway: str = "127.0.0.1"
    replica_set: str = ""
    container: str = ""
    docker_is_down: bool = False

    def write(self, name: str, text: str) -> str:
        path = self.folder / "secrets" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return str(path)

    def common(self) -> Json:
        self.docker.containers.clear()
        made = self.docker.run(
            "mongo", f"{self.mongo.address}/tcp", networks=("mongo",), addresses=("127.0.0.1", self.gateway),
            state="running" if self.runs else "exited",
        )  # fmt: skip
        made["bindings"] = {f"{self.mongo.port}/tcp": made["bindings"]["0/tcp"]}
        return {
            "store": "mongo", "address": self.mongo.address, "root": "root",
            "root_file": str(self.folder / "secrets/root-password"),
        }  # fmt: skip

    def root(self, password: str = ROOT, **more: Any) -> Json:
        sets = {"replica_set": self.replica_set} if self.replica_set else {}
        return {**self.common(), "volume": "mongo-data", "password": password, **sets, **more}

    def put_root(self, password: str = ROOT, *, adopt: bool = False, **more: Any) -> Json:
        self.write("root-password", password)
        return self.client.on("put", "mongodb.mongo_roots", "mongo", self.root(password, **more), adopt=adopt)

    def root_refused(self, password: str = ROOT, *, adopt: bool = False, **more: Any) -> AgentError:
        self.write("root-password", password)
        return self.client.refused(
            "put", "mongodb.mongo_roots", "mongo", self.root(password, **more), adopt=adopt
        )

    def root_spec(self) -> Json:
        spec: Json = encode(decode(MongoRootDesired, self.root()).spec())
        return spec

    def root_facts(self) -> Json:
        return without_revision(self.client.look("mongodb.mongo_roots", "mongo", self.root_spec()))

    def unreadable(self, kind: str, item: str, spec: Json) -> AgentError:
        """Return the error that a preview shows instead of facts."""
        asked = [{"kind": kind, "id": item, "spec": spec}]
        (found,) = self.client.ask("survey", items=asked, index=False)["items"]
        told = found["error"]
        return AgentError(told["code"], told["message"], hint=told["hint"], prop=told["property"])

    def remove_root(self, password: str = ROOT) -> str:
        done: str = self.client.on("remove", "mongodb.mongo_roots", "mongo", self.root(password))["done"]
        return done

    def user(self, password: str = SHOP, generation: int = 1, **more: Any) -> Json:
        return {
            **self.common(), "user": f"shop-{generation}", "database": "shop", "password": password,
            "password_file": self.write(f"shop-{generation}", password),
            "roles": {"readWrite@shop": "granted"}, **more,
        }  # fmt: skip

    def on_user(self, op: str, desired: Json, *, adopt: bool = False) -> Json:
        item = f"mongo/shop/{desired['user']}"
        return self.client.on(op, "mongodb.mongo_users", item, desired, adopt=adopt, owner=USER_URN)

    def put_user(self, *args: Any, adopt: bool = False, **more: Any) -> Json:
        return self.on_user("put", self.user(*args, **more), adopt=adopt)

    def user_refused(self, **more: Any) -> AgentError:
        desired = self.user(**more)
        return self.client.refused("put", "mongodb.mongo_users", "mongo/shop/shop-1", desired, owner=USER_URN)

    def user_spec(self, generation: int = 1) -> Json:
        return {
            **self.common(), "user": f"shop-{generation}", "database": "shop",
            "password_file": str(self.folder / f"secrets/shop-{generation}"),
        }  # fmt: skip

    def user_facts(self, generation: int = 1) -> Json:
        return without_revision(
            self.client.look(
                "mongodb.mongo_users", f"mongo/shop/shop-{generation}", self.user_spec(generation)
            )
        )

    def logged_in(self, user: str, password: str, database: str = "shop") -> Client:
        client = Client(self.mongo.address)
        client.__enter__()
        try:
            client.log_in(user, password, database)
        except LoginRefused:
            client.__exit__(None, None, None)
            raise
        return client

    def said(self) -> str:
        """Return everything that the agent keeps on the host."""
        return "".join(path.read_text() for path in self.client.machine.state.rglob("*") if path.is_file())


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    folder = tmp_path / "volume"
    folder.mkdir()
    return folder


@pytest.fixture
def store(machine: Machine, tmp_path: Path, volume: Path) -> Iterator[Store]:
    def docker(argv: Sequence[str], **_: Any) -> Done:
        if list(argv[:3]) == ["docker", "container", "inspect"]:
            return Done(1, "[]\n", f"Error response from daemon: {made.container}\n")
        assert list(argv[:3]) == ["docker", "volume", "inspect"]
        if made.docker_is_down:
            return Done(1, "", "Cannot connect to the Docker daemon")
        return Done(0, f"{volume}\n", "") if volume.exists() else Done(1, "", "no such volume")

    mongo = FakeMongo()
    mongo.user("root", ROOT, "admin", "root@admin")
    with docker_engine.listening(tmp_path / "docker.sock") as engine:
        here = dataclasses.replace(machine, run=docker, docker=tmp_path / "docker.sock")
        made = Store(mongo, Deployment(here), tmp_path, engine)
        made.write("root-password", ROOT)
        yield made
        made.client.close()
    mongo.stop()


def without_revision(facts: Json) -> Json:
    """Return the facts of the server. The revision belongs to the host's record."""
    return {name: told for name, told in facts.items() if name != "revision"}


def steps(done: Json) -> list[str]:
    return [step["property"] for step in done["steps"]]


def test_a_new_server_needs_no_change(store: Store) -> None:
    assert steps(store.put_root()) == []
    assert store.root_facts() == {
        "exists": True, "server": "answers", "authentication": "required", "login": "works", "users": {},
    }  # fmt: skip


def test_the_administrators_password_is_changed_with_the_previous_one(store: Store) -> None:
    store.put_root()
    done = store.put_root(NEXT, previous=ROOT)
    assert steps(done) == ["login"]
    assert store.mongo.users["admin", "root"].password == NEXT
    assert store.mongo.users["admin", "root"].roles == [{"role": "root", "db": "admin"}]
    assert store.mongo.killed == [[{"user": "root", "db": "admin"}]]
    assert steps(store.put_root(NEXT, previous=ROOT)) == []


def test_the_administrators_sessions_end_only_when_its_password_changes(store: Store) -> None:
    store.put_root()
    store.put_root(NEXT, previous=ROOT)
    assert len(store.mongo.killed) == 1
    store.mongo.user("bob", "x", "shop", "read@shop")
    store.put_root(NEXT, previous=ROOT)
    assert [{"user": "root", "db": "admin"}] not in store.mongo.killed[1:], "a backup may be running"


def test_after_an_interrupted_change_the_next_run_ends_the_sessions(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_root()
    monkeypatch.setattr(mongo_store, "end_sessions", lambda *_: os.abort())
    monkeypatch.setattr(os, "abort", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        store.put_root(NEXT, previous=ROOT)
    monkeypatch.undo()
    store.client.again().on("put", "mongodb.mongo_roots", "mongo", store.root(NEXT, previous=ROOT))
    assert store.mongo.killed == [[{"user": "root", "db": "admin"}]]


def test_after_a_failed_rotation_the_next_run_logs_in_with_the_password_in_the_state(store: Store) -> None:
    store.put_root()
    # The second rotation. The first rotation never reached the server, so `previous` was never the server's
    # password.
    store.put_root(NEXT, previous="never-arrived", before=ROOT)
    assert store.mongo.users["admin", "root"].password == NEXT


def test_a_password_changed_by_hand_shows_and_the_user_must_declare_it(store: Store) -> None:
    store.put_root()
    store.mongo.users["admin", "root"].password = "by-hand"
    assert store.root_facts()["login"] == "refused"
    error = store.root_refused()
    assert "refuses the login of root" in error.message
    assert "former_password" in error.hint
    store.put_root(previous="by-hand")
    assert store.mongo.users["admin", "root"].password == ROOT


def test_after_an_interrupted_first_start_the_error_says_so_and_nothing_changes(
    store: Store, volume: Path
) -> None:
    store.mongo.users.clear()
    (volume / "WiredTiger").write_text("")
    assert store.root_facts()["login"] == "the server has no such user"
    error = store.root_refused()
    assert "data files but no user root: its first start was interrupted" in error.message
    assert "docker volume rm mongo-data" in error.hint
    assert "createUser" in error.hint
    assert [path.name for path in volume.iterdir()] == ["WiredTiger"]
    assert not store.mongo.users


def test_a_server_without_auth_is_an_error_of_its_own(store: Store) -> None:
    store.mongo.auth = False
    assert store.root_facts()["authentication"] == "not required"
    assert "--auth" in store.root_refused().hint


def test_an_undeclared_user_is_drift_by_name_and_is_dropped(store: Store) -> None:
    store.put_root()
    store.put_user()
    store.mongo.user("mallory", "x", "admin", "root@admin", "readWrite@shop")
    store.mongo.user("bob", "x", "shop", "read@shop")
    assert store.root_facts()["users"] == {
        "bob@shop": "read@shop", "mallory@admin": "readWrite@shop, root@admin",
    }  # fmt: skip
    assert steps(store.put_root()) == ["users.bob@shop", "users.mallory@admin"]
    assert set(store.mongo.users) == {("admin", "root"), ("shop", "shop-1")}


def test_users_from_before_the_first_deploy_need_adopt(store: Store) -> None:
    store.mongo.user("bob", "x", "shop", "read@shop")
    error = store.root_refused()
    assert (error.code, error.prop) == ("differs", "users.bob@shop")
    store.put_root(adopt=True)
    assert set(store.mongo.users) == {("admin", "root")}


def test_users_that_only_the_former_password_shows_need_adopt_each_time(store: Store) -> None:
    store.mongo.users["admin", "root"].password = "theirs"
    store.mongo.user("bob", "x", "shop", "read@shop")
    for _ in range(2):
        assert store.root_refused(previous="theirs").code == "differs"
        assert ("shop", "bob") in store.mongo.users
    store.put_root(previous="theirs", adopt=True)
    assert set(store.mongo.users) == {("admin", "root")}


def test_a_server_that_is_down_is_drift_and_up_waits_for_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_root()
    store.put_user()
    store.mongo.stop()
    assert store.root_facts() == {"exists": True, "server": "does not answer: Connection refused"}
    assert store.user_facts() == {"exists": True, "server": "does not answer: Connection refused"}
    monkeypatch.setattr(mongo_store, "WAIT", 0.1)
    error = store.root_refused()
    assert "does not answer: Connection refused" in error.message
    assert "docker start mongo" in error.hint
    monkeypatch.setattr(mongo_store, "_PAUSE", 0.01)
    monkeypatch.setattr(mongo_store, "WAIT", 60)
    store.mongo.start()
    assert steps(store.put_root()) == []


def test_a_program_in_place_of_a_stopped_container_is_named_and_gets_no_login(store: Store) -> None:
    """The agent must not log in: with SCRAM a client sends its user name before the server proves itself."""
    store.put_root()
    store.put_user()
    store.runs = False
    store.mongo.asked.clear()
    questions = (
        store.root_refused,
        store.user_refused,
        lambda: store.unreadable("mongodb.mongo_roots", "mongo", store.root_spec()),
        lambda: store.unreadable("mongodb.mongo_users", "mongo/shop/shop-1", store.user_spec()),
    )
    for ask in questions:
        error = ask()
        assert store.mongo.asked == []
        assert error.code == "impostor"
        assert f"listens at {store.mongo.address} in place of the container mongo" in error.message
        assert f"(uid 0, pid {os.getpid()})" in error.message
    store.mongo.stop()
    assert store.root_facts() == {
        "exists": True,
        "server": "does not answer: the store's container does not run",
    }


def test_the_agent_connects_only_from_the_hosts_address_in_the_network(store: Store) -> None:
    store.put_root()
    store.mongo.asked.clear()
    store.gateway = "198.51.100.1"
    gone = {"exists": True, "server": "does not answer: Cannot assign requested address"}
    assert store.root_facts() == gone
    assert store.mongo.asked == []


def test_destroy_leaves_the_password_beside_the_data_and_the_next_stack_finds_it(
    store: Store, volume: Path
) -> None:
    store.put_root()
    assert store.remove_root() == "kept"
    kept = volume / "portcullis-root-password"
    assert kept.stat().st_mode & 0o777 == 0o400
    assert kept.stat().st_uid == os.getuid()
    assert steps(store.put_root("of-a-new-stack")) == ["login"]
    assert store.mongo.users["admin", "root"].password == "of-a-new-stack"
    assert not kept.exists()


def test_destroy_works_if_the_volume_is_gone(store: Store, volume: Path) -> None:
    store.put_root()
    volume.rmdir()
    assert store.remove_root() == "kept"


def test_destroy_keeps_the_password_if_docker_does_not_answer(store: Store, volume: Path) -> None:
    store.put_root()
    store.docker_is_down = True
    with pytest.raises(AgentError, match="does not say where the files of the volume mongo-data are"):
        store.remove_root()
    store.docker_is_down = False
    assert store.remove_root() == "kept"
    assert (volume / "portcullis-root-password").read_text() == f"{ROOT}\n"


def test_a_user_can_be_removed_without_its_server_only_if_the_container_is_gone(store: Store) -> None:
    store.put_root()
    store.put_user()
    store.mongo.stop()
    store.container = "Docker is busy"
    with pytest.raises(AgentError) as caught:
        store.on_user("remove", store.user())
    assert "docker rm -f mongo" in caught.value.hint
    store.container = "No such container: mongo"
    assert store.on_user("remove", store.user())["done"] == "kept"


def test_a_replica_set_is_initiated_and_read(store: Store) -> None:
    store.mongo.replicas, store.replica_set = True, "rs0/mongo:27017"
    assert store.root_facts()["replica_set"] == "not initiated"
    assert steps(store.put_root()) == ["replica_set"]
    (initiate,) = store.mongo.commands("replSetInitiate")
    assert initiate["replSetInitiate"] == {"_id": "rs0", "members": [{"_id": 0, "host": "mongo:27017"}]}
    assert steps(store.put_root()) == []


def test_a_member_is_renamed_and_a_set_of_several_members_is_not_changed(store: Store) -> None:
    store.mongo.replicas, store.replica_set = True, "rs0/mongo:27017"
    store.put_root()
    assert store.mongo.config
    store.mongo.config["members"][0]["host"] = "old:27017"
    assert steps(store.put_root()) == ["replica_set"]
    assert store.mongo.config["members"] == [{"_id": 0, "host": "mongo:27017"}]
    store.mongo.config["members"].append({"_id": 1, "host": "elsewhere:27017"})
    assert "several members" in store.root_refused().message


def test_a_server_without_replica_sets_gives_its_own_error(store: Store) -> None:
    store.replica_set = "rs0/mongo:27017"
    assert "without --replSet" in store.root_refused().hint


def test_a_user_has_its_role_and_no_other(store: Store) -> None:
    store.put_root()
    assert steps(store.put_user()) == ["user"]
    assert store.user_facts() == {
        "exists": True, "server": "answers", "login": "works", "roles": {"readWrite@shop": "granted"},
    }  # fmt: skip
    assert store.put_user()["steps"] == []
    app = store.logged_in("shop-1", SHOP)
    app.command({"insert": "items", "documents": [{"a": 1}], "$db": "shop"})
    for refused in (
        {"insert": "items", "documents": [], "$db": "other"},
        {"listDatabases": 1, "$db": "admin"},
    ):
        with pytest.raises(Refused):
            app.command(refused)
    app.__exit__(None, None, None)


def test_a_password_set_by_hand_is_drift_and_is_set_back(store: Store) -> None:
    store.put_root()
    store.put_user()
    store.mongo.users["shop", "shop-1"].password = "by-hand"
    assert store.user_facts()["login"] == "refused"
    assert steps(store.put_user()) == ["login"]
    assert store.mongo.users["shop", "shop-1"].password == SHOP
    assert store.mongo.killed == [[{"user": "shop-1", "db": "shop"}]]


def test_roles_changed_by_hand_are_drift_by_name(store: Store) -> None:
    store.put_root()
    store.put_user()
    store.mongo.users["shop", "shop-1"].roles = [{"role": "dbOwner", "db": "shop"}]
    done = store.put_user()
    assert [(step["property"], step["have"]) for step in done["steps"]] == [
        ("roles.dbOwner@shop", "granted"), ("roles.readWrite@shop", "not granted"),
    ]  # fmt: skip
    assert store.mongo.users["shop", "shop-1"].roles == [{"role": "readWrite", "db": "shop"}]


def test_a_user_that_was_dropped_by_hand_is_created_again(store: Store) -> None:
    store.put_root()
    store.put_user()
    del store.mongo.users["shop", "shop-1"]
    assert store.user_facts()["exists"] is False
    assert steps(store.put_user()) == ["user"]


def test_an_existing_user_of_the_same_name_needs_adopt(store: Store) -> None:
    store.put_root()
    store.mongo.user("shop-1", "theirs", "shop", "readWrite@shop")
    assert store.user_refused().code == "differs"
    store.put_user(adopt=True)
    assert store.mongo.users["shop", "shop-1"].password == SHOP


def test_rotation_creates_the_next_user_first_and_ends_the_old_connections_last(store: Store) -> None:
    store.put_root()
    store.put_user()
    old = store.logged_in("shop-1", SHOP)
    insert = {"insert": "items", "documents": [{"a": 1}], "$db": "shop"}
    store.put_user(SHOP2, 2)
    new = store.logged_in("shop-2", SHOP2)
    for app in (old, new):
        app.command(insert)
    assert store.root_facts()["users"] == {}, "both are declared"
    assert store.on_user("remove", store.user())["done"] == "removed"
    with pytest.raises(Refused):
        old.command(insert)
    new.command(insert)
    with pytest.raises(LoginRefused):
        store.logged_in("shop-1", SHOP)
    assert store.on_user("remove", store.user())["done"] == "absent"
    for app in (old, new):
        app.__exit__(None, None, None)


def test_a_server_that_still_accepts_changed_or_dropped_users_is_an_error(store: Store) -> None:
    store.put_root()
    store.put_user()
    store.mongo.sticky = True
    assert "still accepts the previous password of root" in store.root_refused(NEXT, previous=ROOT).message
    with pytest.raises(AgentError, match="still accepts the login of shop-1"):
        store.on_user("remove", store.user())


def test_a_server_that_refuses_to_drop_a_user_is_an_error(store: Store) -> None:
    store.put_root()
    store.put_user()
    store.mongo.mute = True
    with pytest.raises(
        AgentError,
        match="the MongoDB server mongo refuses a command: the server refuses dropUser: Unauthorized",
    ):
        store.on_user("remove", store.user())


def test_users_of_another_store_are_undeclared_here(store: Store) -> None:
    store.put_root()
    other = {**store.user(), "store": "other"}
    (container,) = store.docker.containers
    networks = {"other": container["NetworkSettings"]["Networks"]["mongo"]}
    store.docker.containers.append(
        {**container, "Id": "f" * 64, "Names": ["/other"], "NetworkSettings": {"Networks": networks}}
    )
    store.client.on("put", "mongodb.mongo_users", "other/shop/shop-1", other, owner=USER_URN)
    assert store.root_facts()["users"] == {"shop-1@shop": "readWrite@shop"}


def test_operations_of_a_dropped_user_are_killed_and_the_agents_own_is_not(store: Store) -> None:
    store.put_root()
    store.put_user()
    store.mongo.running = [{"opid": 7, "client": "172.18.0.3:5"}, {"opid": 8, "client": "172.17.0.1:1"}]
    store.on_user("remove", store.user())
    assert store.mongo.killed == [[{"user": "shop-1", "db": "shop"}], 7]
    (asked,) = store.mongo.commands("currentOp")
    assert asked["effectiveUsers"] == {"$elemMatch": {"user": "shop-1", "db": "shop"}}


def test_a_user_cannot_be_read_while_the_administrator_is_refused(store: Store) -> None:
    store.put_root()
    store.put_user()
    store.mongo.users["admin", "root"].password = "by-hand"
    assert store.user_facts()["server"] == "refuses the login of root"
    error = store.user_refused()
    assert "MongoRoot" in error.hint


def test_a_server_without_sessions_and_replica_sets_works_too(store: Store) -> None:
    store.mongo.ferret = True
    store.put_root()
    store.put_user()
    store.put_user(SHOP2, 2)
    assert store.on_user("remove", store.user())["done"] == "removed"
    assert steps(store.put_root(NEXT, previous=ROOT)) == ["login"]
    assert store.mongo.killed == []
    store.replica_set = "rs0/mongo:27017"
    assert "replica_set=False" in store.root_refused(NEXT).hint


def test_facts_records_and_errors_hold_no_secret(store: Store) -> None:
    asked = json.dumps([store.put_root(), store.put_user(), store.root_facts(), store.user_facts()])
    # The server quotes the whole command.
    error = store.user_refused(roles={"no-such@shop": "granted"})
    assert "updateUser: RoleNotFound" in error.message
    for secret in (ROOT, SHOP):
        assert secret not in asked + store.said() + json.dumps(error.as_json())


@pytest.mark.timeout(60)
def test_a_pipe_for_the_secret_file_does_not_hang(store: Store) -> None:
    store.put_root()
    path = store.folder / "secrets/root-password"
    path.unlink()
    os.mkfifo(path)
    found = store.unreadable("mongodb.mongo_roots", "mongo", store.root_spec())
    assert found.message == f"the agent cannot read the secret file {path}: Invalid argument"
