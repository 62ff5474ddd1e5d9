"""A fake MongoDB server with OP_MSG, SCRAM-SHA-256, users with roles, and replica sets.

The fake treats users and logins like the official server, which no package registry has. With `ferret`, the
fake lacks the commands that the lab's FerretDB lacks. pymongo also talks to this fake, which shows that the
fake follows the protocol.
"""

# ruff: noqa: TRY301 - every command is refused where it is read
from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import itertools
import secrets
import socket
import socketserver
import struct
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from portcullis.components.mongodb.on_host.mongo_bson import decode, encode

if TYPE_CHECKING:
    import ssl

Json = dict[str, Any]

ROUNDS = 4096
_ids = itertools.count(1)
_OPEN = {"hello", "ismaster", "saslStart", "saslContinue", "buildInfo", "ping"}
_FERRET_LACKS = {"killAllSessions", "killOp", "replSetInitiate", "replSetGetStatus",
                 "replSetGetConfig", "replSetReconfig"}  # fmt: skip
_NAMES = {
    11: "UserNotFound", 13: "Unauthorized", 18: "AuthenticationFailed", 31: "RoleNotFound",
    51003: "Location51003", 59: "CommandNotFound", 94: "NotYetInitialized",
}  # fmt: skip


class No(Exception):
    """The server refuses a command."""

    def __init__(self, code: int, message: str = "") -> None:
        super().__init__(message)
        self.answer = {"ok": 0, "errmsg": message, "code": code, "codeName": _NAMES.get(code, "BadValue")}


@dataclass
class User:
    """A user of the fake server. `number` tells a user from an earlier user with the same name."""

    password: str
    roles: list[Json]
    number: int = field(default_factory=lambda: next(_ids))
    before: list[str] = field(default_factory=list)
    salt: bytes = field(default_factory=lambda: secrets.token_bytes(28))


@dataclass
class FakeMongo:
    """The fake server. `asked` holds every command with the user that sent it, "" without a login."""

    auth: bool = True
    ferret: bool = False
    replicas: bool = False
    lies: bool = False
    "sends a wrong proof at the end of a login"
    sticky: bool = False
    "accepts logins with passwords that were changed and of users that were dropped"
    mute: bool = False
    "refuses to drop a user"
    tls: ssl.SSLContext | None = None
    users: dict[tuple[str, str], User] = field(default_factory=dict)
    data: dict[str, list[Json]] = field(default_factory=dict)
    config: Json | None = None
    asked: list[tuple[str, Json]] = field(default_factory=list)
    killed: list[Any] = field(default_factory=list)
    running: list[Json] = field(default_factory=list)

    def __post_init__(self) -> None:
        fake = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with fake._lock:
                    fake._open.append(self.request)
                connection = Connection(fake, self.request)
                try:
                    connection.serve()
                finally:
                    connection.socket.close()

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *_: Any) -> None:
                pass

        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._class, self._handler = Server, Handler
        self.port = 0
        self.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        self._server = self._class(("127.0.0.1", self.port), self._handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        while self._open:
            gone = self._open.pop()
            with contextlib.suppress(OSError):
                gone.shutdown(socket.SHUT_RDWR)
            gone.close()

    def user(self, name: str, password: str, database: str = "admin", *roles: str) -> None:
        pairs = [dict(zip(("role", "db"), role.split("@"), strict=True)) for role in roles]
        self.users[database, name] = User(password, pairs)

    def commands(self, name: str) -> list[Json]:
        return [command for _, command in self.asked if next(iter(command)) == name]


def sections(body: bytes) -> Json:
    """Return the command of a message, with the documents that other clients send in other sections."""
    at, command, beside = 4, Json(), Json()
    while at < len(body):
        (size,) = struct.unpack_from("<i", body, at + 1)
        section = body[at + 1 : at + 1 + size]
        if body[at] == 0:
            command = decode(section)
        else:
            name, _, rest = section[4:].partition(b"\0")
            beside[name.decode()] = documents = []
            while rest:
                (length,) = struct.unpack_from("<i", rest)
                documents.append(decode(rest[:length]))
                rest = rest[length:]
        at += 1 + size
    return command | beside


class Connection:
    """One client and its login."""

    def __init__(self, fake: FakeMongo, connected: socket.socket) -> None:
        self.fake = fake
        self.socket = connected
        self.me: tuple[str, str, int] | None = None
        self.talk: Json = {}

    def serve(self) -> None:
        if self.fake.tls:
            self.socket = self.fake.tls.wrap_socket(self.socket, server_side=True)
        while True:
            head = self.receive(16)
            size, number, _, code = struct.unpack("<iiii", head)
            body = self.receive(size - 16)
            assert code == 2013, code
            flags = struct.unpack_from("<I", body)[0]
            command = sections(body)
            answer = encode(self.answer(command))
            if not flags & 2:
                message = struct.pack("<iB", 0, 0) + answer
                self.socket.sendall(struct.pack("<iiii", 16 + len(message), 7, number, 2013) + message)

    def receive(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self.socket.recv(size - len(data))
            if not piece:
                raise ConnectionResetError
            data += piece
        return data

    def answer(self, command: Json) -> Json:
        name = next(iter(command))
        with self.fake._lock:
            self.fake.asked.append((self.me[1] if self.me else "", command))
            try:
                if self.fake.auth and name not in _OPEN and not self.logged_in():
                    raise No(13, "command requires authentication")
                if name in ("createUser", "dropUser", "updateUser", "usersInfo"):
                    self.may("root@admin")
                if name in ("insert", "find"):
                    self.may("root@admin", f"readWrite@{command['$db']}")
                if self.fake.ferret and name in _FERRET_LACKS:
                    raise No(59, f"no such command: '{name}'")
                do = getattr(self, f"do_{name}", None)
                if do is None:
                    raise No(59, f"no such command: '{name}'")
                return {**(do(command) or {}), "ok": 1}
            except No as no:
                return no.answer

    def logged_in(self) -> bool:
        """Return whether the user of the login still exists, and is not a new user of the same name."""
        if self.me is None:
            return False
        user = self.fake.users.get(self.me[:2])
        return user is not None and user.number == self.me[2]

    def may(self, *roles: str) -> None:
        if not self.fake.auth:
            return
        assert self.me
        mine = {f"{role['role']}@{role['db']}" for role in self.fake.users[self.me[:2]].roles}
        if not mine & set(roles):
            raise No(13, "not authorized")

    def do_hello(self, command: Json) -> Json:
        found: Json = {"maxWireVersion": 21, "minWireVersion": 0, "maxBsonObjectSize": 16777216,
                       "maxMessageSizeBytes": 48000000, "maxWriteBatchSize": 1000}  # fmt: skip
        primary = not self.fake.replicas
        if self.fake.config:
            hosts = [member["host"] for member in self.fake.config["members"]]
            found |= {"setName": self.fake.config["_id"], "hosts": hosts, "me": hosts[0], "setVersion": 1}
            primary = True
        return {**found, "isWritablePrimary": primary, "ismaster": primary}

    do_ismaster = do_hello

    def do_ping(self, command: Json) -> None:
        pass

    def do_endSessions(self, command: Json) -> None:  # noqa: N802 - the command's name
        pass

    def do_buildInfo(self, command: Json) -> Json:  # noqa: N802
        return {"version": "8.0.0"}

    def do_listDatabases(self, command: Json) -> Json:  # noqa: N802
        self.may("root@admin")
        return {"databases": [{"name": name} for name in self.fake.data]}

    def do_whatsmyuri(self, command: Json) -> Json:
        return {"you": "172.17.0.1:1"}

    def do_insert(self, command: Json) -> Json:
        documents = command.get("documents", [])
        self.fake.data.setdefault(command["$db"], []).extend(documents)
        return {"n": len(documents)}

    def do_find(self, command: Json) -> Json:
        found = self.fake.data.get(command["$db"], [])
        return {"cursor": {"id": 0, "ns": f"{command['$db']}.{command['find']}", "firstBatch": found}}

    def do_saslStart(self, command: Json) -> Json:  # noqa: N802
        database, first = command["$db"], command["payload"].decode()
        assert command["mechanism"] == "SCRAM-SHA-256"
        bare = first.removeprefix("n,,")
        parts = dict(part.split("=", 1) for part in bare.split(","))
        user = self.fake.users.get((database, parts["n"]))
        if user is None:
            raise No(18, "Authentication failed.")
        nonce = parts["r"] + secrets.token_hex(12)
        said = f"r={nonce},s={base64.b64encode(user.salt).decode()},i={ROUNDS}"
        skip = command.get("options", {}).get("skipEmptyExchange") and not self.fake.ferret
        self.talk = {"user": (database, parts["n"], user.number), "bare": bare, "said": said, "nonce": nonce,
                     "skip": skip}  # fmt: skip
        return {"conversationId": 1, "done": False, "payload": said.encode()}

    def do_saslContinue(self, command: Json) -> Json:  # noqa: N802
        if "proven" in self.talk:
            self.me = self.talk["user"]
            return {"conversationId": 1, "done": True, "payload": b""}
        user = self.fake.users[self.talk["user"][:2]]
        parts = dict(part.split("=", 1) for part in command["payload"].decode().split(","))
        message = f"{self.talk['bare']},{self.talk['said']},c=biws,r={self.talk['nonce']}".encode()
        for password in (user.password, *(user.before if self.fake.sticky else ())):
            salted = hashlib.pbkdf2_hmac("sha256", password.encode(), user.salt, ROUNDS)
            key = hmac.digest(salted, b"Client Key", "sha256")
            signature = hmac.digest(hashlib.sha256(key).digest(), message, "sha256")
            proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
            if parts["r"] == self.talk["nonce"] and base64.b64decode(parts["p"]) == proof:
                break
        else:
            raise No(18, "Authentication failed.")
        server = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message, "sha256")
        if self.fake.lies:
            server = secrets.token_bytes(32)
        self.talk["proven"] = True
        if self.talk["skip"]:
            self.me = self.talk["user"]
        payload = f"v={base64.b64encode(server).decode()}".encode()
        return {"conversationId": 1, "done": bool(self.talk["skip"]), "payload": payload}

    def do_usersInfo(self, command: Json) -> Json:  # noqa: N802
        asked = command["usersInfo"]
        return {
            "users": [
                {"_id": f"{db}.{name}", "user": name, "db": db, "roles": user.roles}
                for (db, name), user in self.fake.users.items()
                if asked in ({"forAllDBs": True}, {"user": name, "db": db})
            ]
        }

    def do_createUser(self, command: Json) -> None:  # noqa: N802
        key = command["$db"], command["createUser"]
        if key in self.fake.users:
            raise No(51003, f"User {key} already exists")
        self.fake.users[key] = User(command["pwd"], self.roles(command))

    def do_updateUser(self, command: Json) -> None:  # noqa: N802
        user = self.fake.users.get((command["$db"], command["updateUser"]))
        if user is None:
            raise No(11, "no such user")
        user.before.append(user.password)
        user.password = command.get("pwd", user.password)
        if "roles" in command:
            user.roles = self.roles(command)

    def do_dropUser(self, command: Json) -> None:  # noqa: N802
        if self.fake.mute:
            raise No(13, "not authorized")
        key = command["$db"], command["dropUser"]
        if key not in self.fake.users:
            raise No(11, "no such user")
        if not self.fake.sticky:
            del self.fake.users[key]

    def roles(self, command: Json) -> list[Json]:
        known = {"read", "readWrite", "dbOwner", "root"}
        if any(role["role"] not in known for role in command["roles"]):
            raise No(31, f"Could not find role in {command}")
        return command["roles"]  # type: ignore[no-any-return]

    def do_killAllSessions(self, command: Json) -> None:  # noqa: N802
        self.fake.killed.append(command["killAllSessions"])

    def do_currentOp(self, command: Json) -> Json:  # noqa: N802
        return {"inprog": self.fake.running}

    def do_killOp(self, command: Json) -> None:  # noqa: N802
        self.fake.killed.append(command["op"])

    def do_replSetGetStatus(self, command: Json) -> Json:  # noqa: N802
        if not self.fake.replicas:
            raise No(76, "not running with --replSet")
        if not self.fake.config:
            raise No(94, "no replset config has been received")
        return {"set": self.fake.config["_id"]}

    def do_replSetGetConfig(self, command: Json) -> Json:  # noqa: N802
        return {"config": self.fake.config}

    def do_replSetInitiate(self, command: Json) -> None:  # noqa: N802
        self.fake.config = {**command["replSetInitiate"], "version": 1, "term": 1}

    def do_replSetReconfig(self, command: Json) -> None:  # noqa: N802
        self.fake.config = command["replSetReconfig"]
