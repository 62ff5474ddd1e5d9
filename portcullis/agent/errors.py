"""The one error that crosses the wire."""

from __future__ import annotations


class AgentError(Exception):
    """Something a person has to know: the client adds the host and the resource to it.

    Attributes:
        code: what kind of trouble, for programs (``differs``, ``locked``, ``no-space``, …).
        message: the cause, for people.
        hint: what to do about it, or "".
        prop: the property of the resource it is about, or "".
        detail: longer text such as a diff or the output of a tool, or "".
    """

    def __init__(self, code: str, message: str, *, hint: str = "", prop: str = "", detail: str = "") -> None:
        """Keep the parts; only `message` is the exception's text."""
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.prop = prop
        self.detail = detail

    def as_json(self) -> dict[str, str]:
        """The error as the client gets it."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "property": self.prop,
            "detail": self.detail,
        }
