"""All errors of the host layer, as one tree of classes.

```text
HostError
├── ConnectionFailed      no session could be opened, or the session broke
│   ├── Unreachable       nothing answers at the address
│   ├── HostKeyRefused    the host shows another key than the pinned one
│   ├── LoginRefused      the host accepts none of our keys
│   ├── SudoRefused       the login works, but sudo does not
│   ├── SessionBroken     the session ended before an answer came
│   └── PythonMissing     the host has no python3
├── OtherSystem           the host runs another operating system than the declared one
├── RolledBack            a change broke the login, and the host has undone it
├── TimedOut              the host did not answer within the time limit
└── AgentRefused          the agent on the host refused or failed; it has an error code
```
"""

from __future__ import annotations

from dataclasses import dataclass

from portcullis.printable import printable


@dataclass(frozen=True, slots=True)
class Subject:
    """What an error is about: a host, and if known the resource and its path or name on the host."""

    host: str
    resource: str = ""
    thing: str = ""

    def __str__(self) -> str:
        """Return `web1: File "motd" (/etc/motd)`, with the parts that are known."""
        if not self.resource:
            return self.host
        return f"{self.host}: {self.resource}" + (f" ({self.thing})" if self.thing else "")


class HostError(Exception):
    """One message for people: subject, property, cause, and what to do.

    The text never contains a secret. Causes are messages of tools or our own words, and the agent omits
    secret file content. All texts from the host are made safe to print.
    """

    def __init__(self, cause: str, *, hint: str = "", prop: str = "", detail: str = "") -> None:
        self.cause = printable(cause)
        super().__init__(self.cause)
        self.hint = printable(hint)
        self.prop = printable(prop)
        self.detail = printable(detail)
        self.subject: Subject | None = None

    def about(self, subject: Subject) -> HostError:
        """Set the subject, unless the error already has one: the first subject is the most exact."""
        if self.subject is None:
            self.subject = subject
        return self

    def __str__(self) -> str:
        """Return the whole message. Details, such as a diff or a tool's output, are indented."""
        head = ": ".join(part for part in (str(self.subject or ""), self.prop, self.cause) if part)
        lines = [head, *("    " + line for line in self.detail.splitlines())]
        if self.hint:
            lines.append(f"  → {self.hint}")
        return "\n".join(lines)


class ConnectionFailed(HostError):
    """No session could be opened, or the session broke."""

    def again(self) -> ConnectionFailed:
        """Return a copy for another resource, since each thread sets its own subject."""
        return type(self)(self.cause, hint=self.hint, prop=self.prop, detail=self.detail)


class Unreachable(ConnectionFailed):
    """Nothing answers at the declared address and port."""


class HostKeyRefused(ConnectionFailed):
    """The host showed another key than the pinned one."""


class LoginRefused(ConnectionFailed):
    """The host answered but refused all our keys."""


class SudoRefused(ConnectionFailed):
    """The login works, but sudo without a password does not."""


class SessionBroken(ConnectionFailed):
    """The session ended before an answer came. The host may or may not have carried out the request."""


class PythonMissing(ConnectionFailed):
    """The host has no python3. A change installs python3 first; a read only reports that it is missing."""


class OtherSystem(HostError):
    """The host runs another operating system than the settings declare."""


class RolledBack(HostError):
    """No login worked after a change, so the host undid the change.

    The resource is then in its earlier state.
    """


class TimedOut(HostError):
    """The host did not answer within the time limit of the call."""


class AgentRefused(HostError):
    """The agent refused or failed; `code` is one of the agent's error codes."""

    def __init__(self, code: str, cause: str, *, hint: str = "", prop: str = "", detail: str = "") -> None:
        super().__init__(cause, hint=hint, prop=prop, detail=detail)
        self.code = code


def not_ours(what: str) -> HostError:
    """Return the error for an answer that no agent of this version gives. A host is not trusted."""
    return HostError(
        f"the answer does not come from an agent of this version: {what}",
        hint="preview with the Portcullis version that deployed last, or deploy with this version first; "
        "if the versions are the same, somebody else may control the host: check the host at your provider's "
        "console",
    )
