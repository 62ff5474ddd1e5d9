"""Every error that the host layer raises, as one tree.

HostError
├── ConnectionFailed      no session could be opened, or it broke
│   ├── Unreachable       nothing answers at the address
│   ├── HostKeyRefused    another host key than the pinned one
│   ├── LoginRefused      no key of ours is accepted
│   ├── SudoRefused       the login works, becoming root does not
│   ├── SessionBroken     it ended while an answer was waited for
│   └── PythonMissing     no python3 on the host
├── OtherSystem           the host runs another operating system than the declared one
├── RolledBack            a change cut us off, and the host has taken it back
├── TimedOut              the host did not answer within the time limit
└── AgentRefused          the agent on the host refused or failed; carries its code
"""

from __future__ import annotations

from dataclasses import dataclass

from portcullis.printable import printable


@dataclass(frozen=True, slots=True)
class Subject:
    """What an error is about: a host, and if known the resource and the thing on the host."""

    host: str
    resource: str = ""
    thing: str = ""

    def __str__(self) -> str:
        """Render as `web1: File "motd" (/etc/motd)`, with the parts that are known."""
        if not self.resource:
            return self.host
        return f"{self.host}: {self.resource}" + (f" ({self.thing})" if self.thing else "")


class HostError(Exception):
    """One message for people: subject, property, cause, and what to do.

    The text never holds a secret: causes come from tools' messages and from our own words,
    and the agent leaves out file content that is marked secret. All of it can be printed,
    whatever the host said.
    """

    def __init__(self, cause: str, *, hint: str = "", prop: str = "", detail: str = "") -> None:
        self.cause = printable(cause)
        super().__init__(self.cause)
        self.hint = printable(hint)
        self.prop = printable(prop)
        self.detail = printable(detail)
        self.subject: Subject | None = None

    def about(self, subject: Subject) -> HostError:
        """Name the host and resource; the first, most exact subject stays."""
        if self.subject is None:
            self.subject = subject
        return self

    def __str__(self) -> str:
        """Render the whole message; detail such as a diff or a tool's output is indented."""
        head = ": ".join(part for part in (str(self.subject or ""), self.prop, self.cause) if part)
        lines = [head, *("    " + line for line in self.detail.splitlines())]
        if self.hint:
            lines.append(f"  → {self.hint}")
        return "\n".join(lines)


class ConnectionFailed(HostError):
    """No session could be opened, or it broke."""

    def again(self) -> ConnectionFailed:
        """Return the same error for another resource: several threads name their own subject in it."""
        return type(self)(self.cause, hint=self.hint, prop=self.prop, detail=self.detail)


class Unreachable(ConnectionFailed):
    """Nothing answers at the declared address and port."""


class HostKeyRefused(ConnectionFailed):
    """The host showed another key than the pinned one."""


class LoginRefused(ConnectionFailed):
    """The host answered and accepted none of our keys."""


class SudoRefused(ConnectionFailed):
    """The login works, becoming root without a password does not."""


class SessionBroken(ConnectionFailed):
    """The session ended while an answer was waited for; what was asked for may have happened."""


class PythonMissing(ConnectionFailed):
    """The host has no python3; a write installs it, a read only says so."""


class OtherSystem(HostError):
    """The host runs another operating system than the settings declare."""


class RolledBack(HostError):
    """Nobody could log in after a change, so the host took it back; the resource is as it was."""


class TimedOut(HostError):
    """The host did not answer within the time limit of the call."""


class AgentRefused(HostError):
    """The agent refused or failed; `code` is one of the agent's error codes."""

    def __init__(self, code: str, cause: str, *, hint: str = "", prop: str = "", detail: str = "") -> None:
        super().__init__(cause, hint=hint, prop=prop, detail=detail)
        self.code = code


def not_ours(what: str) -> HostError:
    """Return the error about an answer that no agent of this version gives: a host is not trusted."""
    return HostError(
        f"the host's answer is not what an agent of ours says: {what}",
        hint="preview with the version that was deployed, or deploy this one first; if it is this one, look "
        "at the host at your provider's console, as at one that somebody else runs",
    )
