"""Talks to a running fail2ban over its socket.

The socket is fast: fifty requests take as long as one start of fail2ban-client.

The protocol is that of fail2ban-client. A request is a pickled list of words. The answer is a pickled ``(0,
answer)`` or ``(1, exception)``. A fixed mark ends each message. The only type that is unpickled is `str`.
fail2ban's own types and exceptions become stand-ins, so an answer cannot run code.

See https://github.com/fail2ban/fail2ban/blob/1.1.0/fail2ban/client/csocket.py.
"""

from __future__ import annotations

import io
import pickle
import socket
from typing import TYPE_CHECKING, Any

from portcullis.agent.errors import AgentError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

_END = b"<F2B_END_COMMAND>"
_TIMEOUT = 10.0
_LIMIT = 8 * 1024 * 1024  # bytes of one answer, which may list every banned address
_OPTION = {"port": ("action", "port"), "protocol": ("action", "protocol")}
_FLAGS = ("bantime.increment", "bantime.overalljails", "ignoreself")
_PLAIN = (
    "maxretry", "maxmatches", "maxlines", "findtime", "bantime", "bantime.factor", "bantime.multipliers",
    "bantime.maxtime", "bantime.rndtime", "usedns",
)  # fmt: skip


class Server:
    """A connection to fail2ban's server. As a context manager, it yields None if no server runs."""

    def __init__(self, path: Path) -> None:
        """Remember the path of the socket. The method `__enter__` connects to the socket."""
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> Server | None:
        self._socket.settimeout(_TIMEOUT)
        try:
            self._socket.connect(str(self._path))
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        except OSError as error:
            raise _no_answer(error) from None
        return self

    def __exit__(
        self, _t: type[BaseException] | None, _e: BaseException | None, _b: TracebackType | None
    ) -> None:
        self._socket.close()

    def jails(self) -> list[str]:
        """The names of the running jails."""
        listed = _pairs(self._list("status")).get("Jail list", "")
        return [name.strip() for name in str(listed).split(",") if name.strip()]

    def ignored(self, jail: str) -> list[str]:
        """The addresses that a jail never bans."""
        return [str(address) for address in self._list("get", jail, "ignoreip")]

    def banned(self, jail: str) -> list[str]:
        """The addresses that a jail bans now."""
        return [str(address) for address in self._list("get", jail, "banip")]

    def failed(self, jail: str) -> int:
        """The number of failures that a jail has counted since the jail started."""
        facts = _pairs(self._list("status", jail)).get("Filter")
        total = _pairs(facts if isinstance(facts, list) else []).get("Total failed", 0)
        return total if isinstance(total, int) else 0

    def log(self) -> str:
        """The log in which jails report that they have read the whole journal.

        The value is a path, or a word such as SYSLOG. The value is "" if fail2ban writes no such report.
        fail2ban writes the report since version 1.0, at level INFO.
        """
        talks = str(self._ask("get", "loglevel")).upper() in ("INFO", "DEBUG", "TRACEDEBUG", "HEAVYDEBUG")
        is_old = str(self._ask("version") or "0").startswith("0")
        return "" if is_old or not talks else str(self._ask("get", "logtarget") or "")

    def files(self, jail: str) -> list[str]:
        """The log files that a jail reads."""
        return [str(path) for path in self._list("get", jail, "logpath")]

    def option(self, jail: str, name: str) -> str | None:
        """The value of a jail's option, in its normal spelling; None if the server reports no value."""
        if name in _PLAIN:
            value = self._ask("get", jail, name)
            return None if value is None else str(value)
        if name in _FLAGS:
            # fail2ban reports an unset flag as None, and a value that it cannot parse as a flag unchanged.
            value = self._ask("get", jail, name)
            return str(str(value).lower() in ("true", "1", "yes", "on")).lower()
        if name == "journalmatch":
            return " + ".join(" ".join(fields) for fields in self._list("get", jail, name))
        actions = [str(action) for action in self._list("get", jail, "actions")]
        if name == "banaction":
            return " ".join(actions)
        if name in _OPTION and actions:
            value = self._ask("get", jail, "action", actions[0], name)
            return None if value is None else str(value)
        return None

    def _list(self, *words: str) -> list[Any]:
        answer = self._ask(*words)
        if answer is None:
            return []
        if not isinstance(answer, list):
            raise _invalid_answer()
        return answer

    def _ask(self, *words: str) -> Any:
        """Return the server's answer; None if the server refuses, for example for a jail that has ended."""
        try:
            self._socket.sendall(pickle.dumps(list(words), protocol=4) + _END)
            said = bytearray()
            while not said.endswith(_END):
                piece = self._socket.recv(65536)
                if not piece or len(said) > _LIMIT:
                    raise ConnectionResetError
                said += piece
        except OSError as error:
            raise _no_answer(error) from None
        try:
            failed, answer = _Plain(io.BytesIO(said[: -len(_END)])).load()
        except Exception:  # noqa: BLE001 - unpickling raises any error: "Security" in the page of pickle
            raise _invalid_answer() from None
        return None if failed else answer


class _Plain(pickle.Unpickler):
    """An unpickler that creates only strings and stand-ins, so that no code in the data runs."""

    def find_class(self, module: str, name: str) -> Any:
        return str if (module, name) == ("builtins", "str") else _StandIn


class _StandIn:
    def __init__(self, *parts: object) -> None:
        self.parts = parts

    def __setstate__(self, state: object) -> None:
        """Ignore the state of the pickled object."""


def _pairs(answer: list[Any]) -> dict[str, Any]:
    """The pairs of name and value in an answer. Other parts of fail2ban's answer are left out."""
    return {
        each[0]: each[1]
        for each in answer
        if isinstance(each, (list, tuple)) and len(each) == 2 and isinstance(each[0], str)  # noqa: PLR2004
    }


def _invalid_answer() -> AgentError:
    return AgentError("unreadable", "fail2ban gives an invalid answer")


def _no_answer(error: OSError) -> AgentError:
    why = "it takes too long" if isinstance(error, TimeoutError) else str(error.strerror or "connection lost")
    return AgentError(
        "unreadable",
        f"fail2ban runs on the host but does not answer: {why}",
        hint="run `systemctl restart fail2ban` on the host, then try again",
    )
