"""Visitors who ask a site of a host all the time. Each request is a connection of its own."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from tests.e2e.host.watch import wait_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.pytest_lab import Host


@dataclass
class Load:
    """Visitors from `with` to its end, one for each of `paths`.

    `seen` counts the answers by their text. `failed` has a line for each request without an answer of 200.
    """

    host: Host
    site: str
    paths: Sequence[str]
    seen: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _clients: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        for path in self.paths:
            self._clients.append(threading.Thread(target=self._ask, args=(path,)))
            self._clients[-1].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for client in self._clients:
            client.join()

    def wait(self, text: str = "") -> None:
        """Wait for as many more answers as there are visitors, or only for answers with this text."""
        wanted = self._answered(text) + len(self.paths)
        wait_for(f"visitors who see {text}", lambda: self.failed or self._answered(text) >= wanted)

    def _answered(self, text: str) -> int:
        return self.seen[text] if text else sum(self.seen.copy().values())

    def _ask(self, path: str) -> None:
        while not self._over.wait(0.05):
            connection = http.client.HTTPConnection(self.host.address, 80, timeout=120)
            try:
                connection.request("GET", path, headers={"Host": self.site, "Connection": "close"})
                answer = connection.getresponse()
                text = answer.read().decode().strip()
                if answer.status == http.HTTPStatus.OK:
                    self.seen[text] += 1
                else:
                    self.failed.append(f"{path}: {answer.status}")
            except Exception as error:  # noqa: BLE001 - a thread that died would be no failure
                self.failed.append(f"{path}: {error!r}")
            finally:
                connection.close()
