"""A systemd in memory: one service, and the clock for the times of its state changes."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from portcullis.agent.run import Done

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


def now() -> int:
    """Return the microseconds of the monotonic clock."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


@dataclass
class FakeSystemd:
    """`on` maps a verb of systemctl to a function that is called first.

    If the function raises an error, the verb fails.
    """

    unit: str = "app.service"
    load: str = "loaded"
    active: str = "inactive"
    sub: str = "dead"
    enabled: str = "disabled"
    need_reload: bool = False
    can_reload: bool = True
    reload_result: str = "success"
    invocation: str = ""
    entered: int = 0
    changed: int = 0
    calls: list[str] = field(default_factory=list)
    on: dict[str, Callable[[], None]] = field(default_factory=dict)

    def __call__(self, argv: Sequence[str], *, timeout: float, env: Mapping[str, str] | None = None) -> Done:
        del env
        assert timeout > 0
        if argv[0] == "journalctl":
            return Done(0, "app[1]: cannot bind\n", "")
        verb, names = argv[2] if argv[1] == "--no-pager" else argv[1], argv[3:]
        if verb == "show":
            self.on.get("show", lambda: None)()
            return Done(0, "\n".join(self.show(name) for name in argv[argv.index("--") + 1 :]), "")
        self.calls.append(verb)
        try:
            self.on.get(verb, lambda: None)()
            getattr(self, verb.replace("-", "_"))()
        except RuntimeError as error:
            return Done(1, "", f"Job for {names} failed: {error}")
        return Done(0, "", "")

    def show(self, name: str) -> str:
        if name != self.unit:
            return f"Id={name}\nLoadState=not-found\nActiveState=inactive\nUnitFileState=\n"
        return (
            f"Id={name}\nLoadState={self.load}\nActiveState={self.active}\nSubState={self.sub}\n"
            f"UnitFileState={self.enabled}\nNeedDaemonReload={'yes' if self.need_reload else 'no'}\n"
            f"CanReload={'yes' if self.can_reload else 'no'}\nInvocationID={self.invocation}\n"
            f"ActiveEnterTimestampMonotonic={self.entered}\nStateChangeTimestampMonotonic={self.changed}\n"
            f"ReloadResult={self.reload_result}\nResult=success\n"
        )

    def start(self) -> None:
        if self.enabled == "masked":
            raise RuntimeError("masked")
        self.active, self.sub, self.invocation = "active", "running", uuid.uuid4().hex
        self.entered = self.changed = now()
        self.reload_result = "success"

    def restart(self) -> None:
        self.start()

    def reload(self) -> None:
        self.changed = now()

    def stop(self) -> None:
        self.active, self.sub, self.changed = "inactive", "dead", now()

    def reset_failed(self) -> None:
        if self.active == "failed":
            self.active = "inactive"

    def daemon_reload(self) -> None:
        self.need_reload = False

    def enable(self) -> None:
        if self.enabled not in ("static", "masked"):
            self.enabled = "enabled"

    def disable(self) -> None:
        self.enabled = "disabled"

    def mask(self) -> None:
        self.enabled = self.load = "masked"

    def unmask(self) -> None:
        self.enabled, self.load = "disabled", "loaded"
