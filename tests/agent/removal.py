"""Records the moment when a file is removed while a program reloads and reads the file's folder."""

from __future__ import annotations

import dataclasses
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from portcullis.agent.machine import Machine
    from portcullis.agent.run import Done
    from tests.on_host import Client


class Removal:
    """Request a removal in the middle of each reload.

    `order` lists the reload, the check and the removal in their order.
    """

    def __init__(self, machine: Machine) -> None:
        self._run, self._readers = machine.run, machine.readers
        self._threads: list[threading.Thread] = []
        self.order: list[str] = []
        self.machine = dataclasses.replace(machine, run=self)

    def __call__(self, argv: Sequence[str], **more: Any) -> Done:
        if "reload" in argv:
            self._threads.append(threading.Thread(target=self._remove))
            self._threads[-1].start()
            time.sleep(0.05)
        done = self._run(argv, **more)
        self.order.append("reload" if "reload" in argv else "asked")
        return done

    def _remove(self) -> None:
        with self._readers.absent():
            self.order.append("removed")

    def during(self, client: Client, put: Callable[[Client], object]) -> list[str]:
        """Return the order of events from the reload until the last check of the reload's result."""
        put(client.again(machine=self.machine))
        for thread in self._threads:
            thread.join()
        return self.order[self.order.index("reload") :]
