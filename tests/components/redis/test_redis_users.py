"""The agent declares, reads and removes users of a real Redis."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import socket
import stat
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from portcullis.agent.errors import AgentError
from portcullis.agent.store import Store
from portcullis.agent.wire import decode, encode
from portcullis.components.redis import render
from portcullis.components.redis.facts import RedisUserDesired, sha256
from portcullis.components.redis.on_host import resp
from portcullis.components.redis.on_host.resp import NotRunning, Refused
from tests.components.containers import docker_engine
from tests.components.redis.redis_process import RedisProcess, StrangeServer
from tests.on_host import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from portcullis.agent.machine import Machine
    from tests.components.containers.docker_engine import Engine

OPS, APP = "_ops-1", "app-1"
PASSWORDS = {name: f"password-of-{name}-000000000000" for name in (OPS, "_ops-2", APP, "app-2")}
GONE = "<absent>"


@dataclass
class Users:
    """A client for the users of one server."""

    client: Client
    redis: RedisProcess
    docker: Engine
    ca: str = ""
    runs: bool = True
    "the server's container runs; in these tests its own address is a loopback address"
    gateway: str = "127.0.0.1"

    @property
    def ops(self) -> Path:
        return self.redis.folder / "ops"

    def desired(self, user: str, **more: Any) -> dict[str, Any]:
        self._contain()
        keeper = {"keeper": True, "rules": render.OPS_RULES} if user.startswith("_ops") else {}
        return {
            "acl": str(self.redis.acl), "address": self.redis.address, "container": "redis",
            "ops": str(self.ops), "gid": "999", "user": user, "password": PASSWORDS[user],
            "rules": render.APP_RULES, "ca": self.ca, **keeper, **more,
        }  # fmt: skip

    def _contain(self) -> None:
        """Let the fake Docker report a container on the server's present port."""
        self.docker.containers.clear()
        made = self.docker.run(
            "redis", f"{self.redis.address}/tcp", networks=("redis",), addresses=("127.0.0.1", self.gateway),
            state="running" if self.runs else "exited",
        )  # fmt: skip
        made["bindings"] = {f"{self.redis.port}/tcp": made["bindings"]["0/tcp"]}

    def item(self, user: str) -> str:
        return f"{self.redis.acl}:{user}"

    def spec(self, user: str, **more: Any) -> dict[str, Any]:
        spec: dict[str, Any] = encode(decode(RedisUserDesired, self.desired(user, **more)).spec())
        return spec

    def put(self, user: str, *, adopt: bool = False, **more: Any) -> dict[str, Any]:
        return self.client.on(
            "put", "redis.redis_users", self.item(user), self.desired(user, **more), adopt=adopt,
            spec=self.spec(user, **more),
        )  # fmt: skip

    def refused(self, user: str, **more: Any) -> AgentError:
        return self.client.refused(
            "put",
            "redis.redis_users",
            self.item(user),
            self.desired(user, **more),
            spec=self.spec(user, **more),
        )

    def remove(self, user: str) -> str:
        done: str = self.client.on("remove", "redis.redis_users", self.item(user), self.desired(user))["done"]
        return done

    def facts(self, user: str) -> dict[str, Any]:
        return self.client.look("redis.redis_users", self.item(user), self.spec(user))

    def unreadable(self, user: str) -> AgentError:
        """Return the error that a preview shows instead of facts."""
        (found,) = self.client.ask(
            "survey",
            items=[{"kind": "redis.redis_users", "id": self.item(user), "spec": self.spec(user)}],
            index=False,
        )["items"]
        told = found["error"]
        return AgentError(told["code"], told["message"], hint=told["hint"], prop=told["property"])

    def drift(self, user: str) -> dict[str, str]:
        """Return what a plan would change, by property."""
        plan = self.client.on(
            "plan", "redis.redis_users", self.item(user), self.desired(user), spec=self.spec(user)
        )
        return {step["property"]: step["have"] for step in plan["steps"]}

    def write_credential(self, user: str = OPS) -> None:
        self.ops.write_text(f"{user} {PASSWORDS[user]}\n")

    def up(self, user: str = APP) -> Users:
        """Set up everything as the first deployment does: users, credential, then the server."""
        self.put(OPS)
        self.put(user)
        self.write_credential()
        self.redis.start()
        return self

    def by_hand(self, *words: str) -> resp.Reply:
        """Run a Redis command by hand, with the password of the ops user."""
        return self.redis.enter(OPS, PASSWORDS[OPS]).call(*words)


@pytest.fixture
def users(machine: Machine, tmp_path: Path) -> Iterator[Users]:
    folder = tmp_path / "redis"
    folder.mkdir()
    with docker_engine.listening(tmp_path / "docker.sock") as docker:
        here = dataclasses.replace(machine, docker=tmp_path / "docker.sock")
        made = Users(Client(here), RedisProcess(folder), docker)
        yield made
        made.client.close()
        made.redis.stop()


@pytest.fixture
def stranger() -> Iterator[Callable[[bytes], int]]:
    """Start a program that is not Redis, and return its port."""
    opened: list[StrangeServer] = []

    def start(answer: bytes) -> int:
        opened.append(StrangeServer(answer))
        return opened[-1].port

    yield start
    for server in opened:
        server.close()


@pytest.fixture
def impostor() -> Iterator[StrangeServer]:
    """A foreign program on the container's port, which answers +OK to every request."""
    server = StrangeServer(b"+OK\r\n")
    yield server
    server.close()


@pytest.fixture
def up(users: Users) -> Users:
    return users.up()


def test_before_the_server_runs_users_are_lines_of_a_file_without_passwords(users: Users) -> None:
    assert users.facts(APP)["exists"] is False
    users.put(OPS)
    users.put(APP)
    text = users.redis.acl.read_text()
    assert [line.split()[1] for line in text.splitlines()] == ["default", OPS, APP]
    assert not [word for word in PASSWORDS.values() if word in text]
    status = users.redis.acl.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (0, 999, 0o640)
    assert users.drift(OPS) == users.drift(APP) == {}


def test_the_server_starts_with_that_file_and_accepts_only_declared_users(up: Users) -> None:
    redis = up.redis
    assert redis.lets_in(APP, PASSWORDS[APP])
    assert redis.lets_in(OPS, PASSWORDS[OPS])
    assert not redis.lets_in(APP, PASSWORDS["app-2"])
    assert not redis.lets_in("default", "")
    bare = redis.enter_bare()
    with pytest.raises(Refused, match="NOAUTH"):
        bare.call("PING")
    assert up.drift(OPS) == up.drift(APP) == {}
    up.client = up.client.again()
    assert up.drift(OPS) == up.drift(APP) == {}


def test_an_app_gets_no_admin_and_no_dangerous_commands(up: Users) -> None:
    session = up.redis.enter(APP, PASSWORDS[APP])
    for line in (
        "CONFIG GET *", "FLUSHALL", "KEYS *", "ACL LIST", "SHUTDOWN", "REPLICAOF 203.0.113.9 6379",
        "MODULE LIST", "CLIENT LIST", "SAVE",
    ):  # fmt: skip
        with pytest.raises(Refused, match="NOPERM"):
            session.call(*line.split())
    assert session.call("SET", "a", "1") == "OK"
    assert "redis_version" in str(session.call("INFO", "server"))


def test_the_keeper_can_read_no_key(up: Users) -> None:
    for words in (("GET", "a"), ("CONFIG", "SET", "maxmemory", "1"), ("EVAL", "return 1", "0")):
        with pytest.raises(Refused, match="NOPERM"):
            up.by_hand(*words)
    assert up.by_hand("PING") == "PONG"
    assert "maxmemory" in resp.texts(up.by_hand("CONFIG", "GET", "maxmemory"))


def test_rotation_keeps_the_sessions_of_the_old_user_until_it_is_removed(up: Users) -> None:
    old = up.redis.enter(APP, PASSWORDS[APP])
    up.put("app-2")
    assert up.drift(APP) == up.drift("app-2") == up.drift(OPS) == {}
    assert old.call("SET", "a", "1") == "OK"
    new = up.redis.enter("app-2", PASSWORDS["app-2"])
    assert up.remove(APP) == "removed"
    assert new.call("GET", "a") == "1"
    with pytest.raises(NotRunning):
        old.call("PING")
    assert not up.redis.lets_in(APP, PASSWORDS[APP])
    assert APP not in up.redis.acl.read_text()
    assert up.remove(APP) == "absent"
    assert up.drift(OPS) == {}


def test_a_removed_user_stays_removed_after_a_restart(up: Users) -> None:
    up.put("app-2")
    up.remove(APP)
    up.redis.stop()
    up.redis.start()
    assert up.redis.lets_in("app-2", PASSWORDS["app-2"])
    assert not up.redis.lets_in(APP, PASSWORDS[APP])


def test_rotation_of_the_keeper_uses_the_old_credential_and_then_the_new_one(up: Users) -> None:
    up.put("_ops-2")
    assert up.drift("_ops-2") == up.drift(APP) == {}
    up.write_credential("_ops-2")
    up.client = up.client.again()
    assert up.remove(OPS) == "removed"
    assert up.drift("_ops-2") == up.drift(APP) == {}
    assert not up.redis.lets_in(OPS, PASSWORDS[OPS])


def test_undeclared_users_show_by_name_and_are_removed_with_their_sessions(up: Users) -> None:
    up.by_hand("ACL", "SETUSER", "mallory", "on", ">secret", "~*", "+@all")
    with up.redis.acl.open("a") as file:
        file.write("user trudy on nopass ~* +@all\n\nnonsense\n")
    session = up.redis.enter("mallory", "secret")
    assert up.facts(OPS)["undeclared"] == {
        "(a line without a user)": "in the file",
        "mallory": "in the running server",
        "trudy": "in the file",
    }
    assert up.drift(APP) == {}
    up.put(OPS)
    assert up.drift(OPS) == {}
    assert "trudy" not in up.redis.acl.read_text()
    assert "nonsense" not in up.redis.acl.read_text()
    with pytest.raises(NotRunning):
        session.call("PING")
    up.redis.stop()
    up.redis.start()
    assert up.drift(OPS) == {}


def test_an_opened_default_user_shows_and_is_switched_off_again(up: Users) -> None:
    up.by_hand("ACL", "SETUSER", "default", "on", "nopass", "~*", "+@all")
    bare = up.redis.enter_bare()
    assert bare.call("PING") == "PONG"
    assert up.drift(OPS) == {"default": "on nopass ~* +@all (in the running server)"}
    up.put(OPS)
    assert up.drift(OPS) == {}
    with pytest.raises((NotRunning, Refused)):
        bare.call("PING")
    text = up.redis.acl.read_text()
    up.redis.acl.write_text(text.replace("user default reset off\n", ""))
    assert up.drift(OPS) == {"default": "the default of Redis: no password, all rights (in the file)"}
    up.put(OPS)
    assert up.redis.acl.read_text() == text


def test_rights_and_passwords_added_by_hand_show_without_a_hash_and_are_removed(up: Users) -> None:
    up.by_hand("ACL", "SETUSER", APP, ">another", "+flushall")
    session = up.redis.enter(APP, "another")
    found = up.drift(APP)["running"]
    assert "(the declared password) (another password)" in found
    assert "flushall" in found or "-flushdb" in found
    assert sha256("another")[:8] not in found
    up.put(APP)
    assert up.drift(APP) == {}
    with pytest.raises(NotRunning):
        session.call("PING")
    assert not up.redis.lets_in(APP, "another")
    assert up.redis.lets_in(APP, PASSWORDS[APP])


def test_a_user_that_was_switched_off_or_deleted_comes_back(up: Users) -> None:
    up.by_hand("ACL", "SETUSER", APP, "off")
    assert up.drift(APP)["running"].startswith("off")
    up.put(APP)
    assert up.drift(APP) == {}
    up.by_hand("ACL", "DELUSER", APP)
    assert up.drift(APP) == {"running": GONE}
    up.put(APP)
    assert up.drift(APP) == {}


def test_an_edited_line_shows_and_is_restored_without_ending_a_session(up: Users) -> None:
    session = up.redis.enter(APP, PASSWORDS[APP])
    text = up.redis.acl.read_text()
    up.redis.acl.write_text(text.replace("-@dangerous ", ""))
    assert list(up.drift(APP)) == ["line"]
    up.put(APP)
    assert up.redis.acl.read_text() == text
    assert session.call("PING") == "PONG"


def test_rules_that_redis_refuses_reach_neither_file_nor_server(up: Users) -> None:
    before = up.redis.acl.read_bytes()
    error = up.refused("app-2", rules="~* +@all -@nonsense")
    assert "Unknown command or category name in ACL" in error.message
    assert "-@nonsense" in error.message
    assert up.redis.acl.read_bytes() == before
    assert not up.redis.lets_in("app-2", PASSWORDS["app-2"])
    assert up.facts(OPS)["undeclared"] == {}
    error = up.refused(APP, rules="~* +@nonsense")
    assert up.redis.acl.read_bytes() == before
    assert up.redis.lets_in(APP, PASSWORDS[APP])


def test_rules_in_any_order_read_back_in_the_servers_own_spelling(up: Users) -> None:
    rules = "%R~log:* ~cache:* &news +@read +set -get resetchannels +config|get -@scripting"
    up.put("app-2", rules=rules)
    plan = up.client.on(
        "plan",
        "redis.redis_users",
        up.item("app-2"),
        up.desired("app-2", rules=rules),
        spec=up.spec("app-2", rules=rules),
    )
    assert plan["steps"] == []
    assert "portcullis-probe" not in str(up.by_hand("ACL", "LIST"))


def test_a_keeper_that_cannot_log_in_says_how_to_repair_that(up: Users) -> None:
    up.by_hand("ACL", "SETUSER", OPS, "resetpass", ">another")
    up.client = up.client.again()
    assert up.drift(APP) == {"running": f"refuses the login of {OPS}: {up_message()}"}
    error = up.refused(OPS)
    assert f"refuses the login of {OPS}" in error.message
    assert "restart the container" in error.hint
    up.redis.stop()
    up.redis.start()
    assert up.drift(OPS) == up.drift(APP) == {}


def up_message() -> str:
    return "WRONGPASS invalid username-password pair or user is disabled."


def test_a_keeper_with_a_new_password_can_log_in_before_its_credential_is_written(
    up: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PASSWORDS, OPS, "a-second-password-0000000000")
    up.put(OPS, adopt=True)
    up.put("app-2")
    up.client = up.client.again()
    assert "refuses the login" in up.drift(APP)["running"]
    # The last deployment ended before it wrote the credential. The keeper's own password still works.
    up.put(OPS)
    up.write_credential()
    up.client = up.client.again()
    assert up.drift(OPS) == up.drift("app-2") == {}


def test_existing_users_that_differ_need_adopt(up: Users, machine: Machine) -> None:
    up.client.close()
    for record in (machine.state / "items").iterdir():
        (record / "record.json").unlink()
    up.client = Client(up.client.machine)
    up.put(APP)  # nothing differs
    up.by_hand("ACL", "SETUSER", "mallory", "on")
    error = up.refused(OPS)
    assert error.code == "differs"
    assert error.prop == "undeclared.mallory"
    up.put(OPS, adopt=True)
    assert up.drift(OPS) == {}


def test_the_file_is_removed_with_its_last_user(users: Users) -> None:
    users.put(OPS)
    users.put(APP)
    assert users.remove(APP) == "removed"
    assert users.remove(OPS) == "removed"
    assert not list(users.redis.folder.iterdir())


def test_a_user_with_a_record_of_another_version_can_be_removed(users: Users, machine: Machine) -> None:
    users.put(APP)
    store = Store(machine.state)
    record = store.load("redis.redis_users", users.item(APP))
    assert record is not None
    record.spec["gone_by_now"] = "x"
    store.save(record)
    assert users.remove(APP) == "removed"


def test_records_and_answers_hold_no_password(up: Users, machine: Machine) -> None:
    up.put("app-2")
    said = json.dumps([up.facts(OPS), up.put(APP), up.drift("app-2")])
    kept = b"".join(path.read_bytes() for path in machine.state.rglob("*") if path.is_file()).decode()
    for password in PASSWORDS.values():
        assert password not in said + kept
    assert not [digest for digest in map(sha256, PASSWORDS.values()) if digest in said]


def test_the_error_names_a_foreign_program_at_the_address(
    users: Users, stranger: Callable[[bytes], int]
) -> None:
    users.write_credential()
    for answer, said in (
        (b"HTTP/1.1 400 Bad Request\r\n", "does not speak Redis' protocol"),
        (b"$999999999\r\n", "does not speak Redis' protocol"),
        (b"*1\r\n" * 20, "does not speak Redis' protocol"),
        (b"x" * (5 << 20), "answers with more than 4 MB"),
    ):
        users.redis.port = stranger(answer)
        error = users.refused(OPS)
        assert said in error.message, error.message
        assert users.redis.address in error.message


def test_a_program_in_place_of_a_stopped_container_is_named_and_gets_no_password(
    users: Users, impostor: StrangeServer
) -> None:
    users.write_credential()
    users.redis.port, users.runs = impostor.port, False
    for ask in (lambda: users.refused(OPS), lambda: users.refused(APP), lambda: users.unreadable(OPS)):
        error = ask()
        assert impostor.heard == b"", impostor.heard
        assert error.code == "impostor"
        assert error.prop == "address"
        who = f"(uid 0, pid {os.getpid()})"
        assert who in error.message
        assert f"listens at 127.0.0.1:{impostor.port} in place of the container redis" in error.message
        assert f"ps -fp {os.getpid()}" in error.hint
        assert "docker start redis" in error.hint
    assert impostor.heard == b"", impostor.heard


def test_an_address_outside_the_hosts_networks_gets_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Docker's network, packets to its addresses may leave for another machine."""
    asked = []

    def connect(one: socket.socket, _: Any) -> None:
        asked.append(one.getsockname())
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", connect)
    for source in ("198.51.100.1", "127.0.0.2"):
        with pytest.raises(NotRunning):
            resp.Redis("198.51.100.77:6379", source=source)
    assert [place[0] for place in asked] == ["127.0.0.2"]


def test_the_agent_connects_only_from_the_hosts_address_in_the_network(up: Users) -> None:
    up.by_hand("ACL", "DELUSER", APP)
    assert up.drift(APP) == {"running": GONE}
    up.gateway = "198.51.100.1"
    assert up.drift(APP) == {}, "the agent reached no server"


def test_the_error_says_that_a_server_hangs(
    users: Users, stranger: Callable[[bytes], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resp, "TIMEOUT", 0.2)
    users.write_credential()
    users.redis.port = stranger(b"")
    assert "did not answer" in users.refused(OPS).message


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and a server certificate that it signed for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("tls")
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    server = ["-CA", "ca.crt", "-CAkey", "ca.key", "-addext", "subjectAltName=IP:127.0.0.1", "-addext",
              "basicConstraints=CA:FALSE"]  # fmt: skip
    for name, more in (
        ("ca", ["-addext", "keyUsage=critical,keyCertSign"]),
        ("other", ["-addext", "keyUsage=critical,keyCertSign"]),
        ("server", server),
    ):  # fmt: skip
        subprocess.run(
            [*new, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.crt", *more],
            cwd=folder, check=True, capture_output=True,
        )  # fmt: skip
    good = x509.load_pem_x509_certificate((folder / "server.crt").read_bytes())
    key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    now = dt.datetime.now(dt.UTC)
    old = x509.CertificateBuilder(
        good.issuer, good.subject, good.public_key(), good.serial_number, now - dt.timedelta(2),
        now - dt.timedelta(1), list(good.extensions),
    ).sign(key, hashes.SHA256())  # fmt: skip
    (folder / "expired.crt").write_bytes(old.public_bytes(serialization.Encoding.PEM))
    return folder


def with_tls(users: Users, folder: Path) -> None:
    """Declare the server with TLS on the same port."""
    users.ca = str(folder / "ca.crt")
    users.redis.lines = (
        f"tls-port {users.redis.port}", "port 0", f"tls-cert-file {folder / 'server.crt'}",
        f"tls-key-file {folder / 'server.key'}", f"tls-ca-cert-file {folder / 'ca.crt'}",
        "tls-auth-clients no",
    )  # fmt: skip


def test_with_tls_the_agent_asks_a_server_whose_certificate_is_signed_by_the_authority(
    users: Users, certified: Path
) -> None:
    with_tls(users, certified)
    users.up()
    assert users.drift(OPS) == users.drift(APP) == {}
    users.put("app-2")
    session = resp.Redis(users.redis.address, users.ca).log_in("app-2", PASSWORDS["app-2"])
    assert session.call("PING") == "PONG"
    session.close()
    with pytest.raises(NotRunning):
        users.redis.enter("app-2", PASSWORDS["app-2"])
    with pytest.raises(resp.Untrusted, match="IP address mismatch"):
        resp.Redis(users.redis.address, users.ca, server_name="127.0.0.2")
    assert users.remove(APP) == "removed"
    users.client = users.client.again()
    assert users.drift("app-2") == {}
    users.ca = str(certified / "other.crt")
    assert users.facts("app-2")["certificate"] == "self-signed certificate in certificate chain"


def test_an_expired_certificate_shows_and_does_not_stop_its_renewal(users: Users, certified: Path) -> None:
    with_tls(users, certified)
    users.redis.lines = tuple(line.replace("server.crt", "expired.crt") for line in users.redis.lines)
    users.up()
    assert users.facts(OPS)["certificate"] == "certificate has expired"
    assert users.drift(OPS) == users.drift(APP) == {}
    users.put("app-2")
    assert "user app-2" in users.redis.acl.read_text()
    users.redis.lines = tuple(line.replace("expired.crt", "server.crt") for line in users.redis.lines)
    users.redis.stop()
    users.redis.start()
    assert users.facts(OPS)["certificate"] == "trusted"
    assert users.drift("app-2") == {}


def test_while_a_server_changes_to_tls_the_agent_writes_its_file_only(
    up: Users, certified: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deployment changes the users first and the certificate file second.

    The server gets the certificate last.
    """
    plain = up.redis.lines
    with_tls(up, certified)
    up.ca = str(certified / "not-yet.crt")
    up.put(OPS)
    up.ca = str(certified / "ca.crt")
    with monkeypatch.context() as patch:
        patch.setattr(resp, "TIMEOUT", 3)  # a server without TLS waits for more of the handshake
        up.put("app-2")
    up.redis.stop()
    up.redis.start()
    assert up.drift(OPS) == up.drift("app-2") == {}
    up.ca, up.redis.lines = "", plain
    up.put("app-2")  # change back
