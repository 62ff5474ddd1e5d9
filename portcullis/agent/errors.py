"""The one exception that the agent sends to its client."""

from __future__ import annotations


class AgentError(Exception):
    """A failure to report to a person. The client adds the host and the resource.

    Attributes:
        code: the sort of failure, for programs (``differs``, ``locked``, ``no-space``, …).
        message: the cause, for people.
        hint: what to do about it, or "".
        prop: the property of the resource that the failure is about, or "".
        detail: longer text such as a diff or the output of a tool, or "".
    """

    def __init__(self, code: str, message: str, *, hint: str = "", prop: str = "", detail: str = "") -> None:
        """Store the parts. Only `message` is the exception's own text."""
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.prop = prop
        self.detail = detail

    def as_json(self) -> dict[str, str]:
        """Return the error as the client gets it."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "property": self.prop,
            "detail": self.detail,
        }
