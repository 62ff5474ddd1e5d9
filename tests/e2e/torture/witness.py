"""Observes a host while the drill kills processes.

A writer sets keys in Redis, and a visitor requests a page.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Self

from lab import hosts
from tests.e2e.host.watch import on_host
from tests.e2e.torture.deeds import PAGE, STATIC

if TYPE_CHECKING:
    from lab.pytest_lab import Host

URL = "/etc/portcullis/secrets/hello-secrets/redis_url"
_CLIENT = f"""
import socket, sys, time, urllib.parse

def encoded(*words):
    parts = [b"*%d" % len(words)]
    for word in words:
        parts += [b"$%d" % len(word.encode()), word.encode()]
    return b"\\r\\n".join(parts) + b"\\r\\n"

class Line:
    def __init__(self):
        url = urllib.parse.urlsplit(open({URL!r}).read().strip())
        self.line = socket.create_connection(("172.17.0.1", 6379), timeout=5)
        self.stream = self.line.makefile("rb")
        if self.ask("AUTH", url.username, url.password) != b"+OK":
            raise OSError("login refused")

    def ask(self, *words):
        self.line.sendall(encoded(*words))
        said = self.stream.readline()
        if not said.endswith(b"\\r\\n"):
            raise OSError("cut off")
        return said.strip()
"""
_WRITE = """
number, line = int(sys.argv[1]), None
while True:
    try:
        line = line or Line()
        if line.ask("SET", f"torture:{number}", str(number)) == b"+OK":
            print(number, flush=True)
        else:
            line = None
    except (OSError, ValueError):
        line = None
    number += 1
    time.sleep(0.1)
"""
_LOST = """
line = Line()
for number in sys.stdin.read().split():
    if line.ask("EXISTS", f"torture:{number}") != b":1":
        print(number)
"""


class Writer:
    """Sets one key in Redis after the other. `kept` has the acknowledged keys."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._process: subprocess.Popen[str] | None = None
        self._threads: list[threading.Thread] = []
        self.kept: list[int] = []

    def start(self) -> None:
        """Start the writer, or start it again after the host was killed."""
        self.stop()
        argv = [*hosts.console_argv(self._host.engine, self._host.record), "python3", "-c", _CLIENT + _WRITE]
        first = str(self.kept[-1] + 1000 if self.kept else 0)
        self._process = subprocess.Popen([*argv, first], stdout=subprocess.PIPE, text=True)
        thread = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        thread.start()
        self._threads = [thread]

    def stop(self) -> None:
        """Stop the writer, and wait until every answer is read."""
        if self._process:
            # The writer on the host is a child of the started process, and keeps the pipe open. So kill the
            # child too.
            for writer in on_host(self._host, _WRITE):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(writer.pid, signal.SIGKILL)
            self._process.kill()
            self._process.wait()
            for thread in self._threads:
                thread.join()
            self._process = None

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        with process.stdout as lines:
            for line in lines:
                if line.endswith("\n"):
                    self.kept.append(int(line))

    def lost(self, numbers: list[int]) -> list[str]:
        """Return the keys of `numbers` that Redis does not have."""
        asked = " ".join(map(str, numbers))
        return self._host.run(["python3", "-c", _CLIENT + _LOST], text=asked).stdout.split()


class Visitor:
    """Requests a site's page from nginx all the time: by default the static page.

    Failed connections are listed in `silent`, and wrong answers in `wrong`.
    """

    def __init__(self, host: Host, site: str = STATIC, page: str = PAGE) -> None:
        self._host, self._site, self._page = host, site, page
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self.answered = 0
        self.wrong: list[str] = []
        self.silent: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._over.wait(0.05):
            line = http.client.HTTPConnection(self._host.address, 80, timeout=5)
            try:
                line.request("GET", "/", headers={"Host": self._site, "Connection": "close"})
                answer = line.getresponse()
                text = answer.read().decode(errors="replace")
            except (OSError, http.client.HTTPException) as error:
                self.silent.append(f"{time.strftime('%H:%M:%S')} {error!r}")
                continue
            finally:
                line.close()
            if answer.status == http.HTTPStatus.OK and self._page in text:
                self.answered += 1
            else:
                self.wrong.append(f"{time.strftime('%H:%M:%S')} {answer.status} {text[:60]!r}")
