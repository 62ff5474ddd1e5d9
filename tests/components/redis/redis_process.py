"""A real redis-server on a free port of loopback, with its files in a temporary folder."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from portcullis.components.redis.on_host import resp
from tests.ports import free_port

if TYPE_CHECKING:
    from pathlib import Path

# The package has one binary for several programs. Its name at the start chooses the program.
BINARY = shutil.which("redis-server") or shutil.which("redis-check-rdb")


@dataclass
class RedisProcess:
    """A server that reads its users from `acl`. A test starts it with `start`."""

    folder: Path
    lines: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    sessions: list[resp.Redis] = field(default_factory=list)

    @property
    def acl(self) -> Path:
        return self.folder / "users.acl"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        assert BINARY, "redis-tools is not installed: `make setup` does it"
        config = self.folder / "redis.conf"
        text = [f"port {self.port}", "bind 127.0.0.1", f"aclfile {self.acl}", f"dir {self.folder}", 'save ""']
        config.write_text("\n".join([*text, *self.lines, ""]))
        log = (self.folder / "log").open("wb")
        with log:
            self.process = subprocess.Popen(
                ["redis-server", str(config)], executable=BINARY, stdout=log, stderr=log
            )
        for _ in range(6000):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            assert self.process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.02)
        raise AssertionError((self.folder / "log").read_text())

    def stop(self) -> None:
        while self.sessions:
            self.sessions.pop().close()
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)
            self.process = None

    def enter(self, user: str, password: str) -> resp.Redis:
        """Return a session after a login. `stop` closes the session."""
        self.sessions.append(resp.Redis(self.address).log_in(user, password))
        return self.sessions[-1]

    def enter_bare(self) -> resp.Redis:
        """Return a session without a login. `stop` closes the session."""
        self.sessions.append(resp.Redis(self.address))
        return self.sessions[-1]

    def lets_in(self, user: str, password: str) -> bool:
        try:
            self.enter(user, password).close()
        except resp.Refused:
            return False
        return True


class StrangeServer:
    """A program that sends the same answer to every connection, or nothing if the answer is empty.

    `heard` holds all bytes that clients sent.
    """

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self.heard = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._taken: list[socket.socket] = []
        self._serving = threading.Thread(target=self._serve, daemon=True)
        self._serving.start()

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._serving.join(60)
        for connection in self._taken:
            connection.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._taken.append(connection)
                with contextlib.suppress(OSError):
                    connection.sendall(self._answer)
                threading.Thread(target=self._listen, args=(connection,), daemon=True).start()

    def _listen(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := connection.recv(4096):
                self.heard += piece
