"""The one exception that the agent sends to its client."""

from __future__ import annotations


class AgentError(Exception):
    """An error whose message is for a person.

    The client adds the names of the host and the resource to the message.

    Attributes:
        code: the sort of failure, which programs read, such as ``differs``, ``locked`` or ``no-space``.
        message: the cause, for people.
        hint: what the person can do; "" if the agent has no advice.
        prop: the resource's property that caused the error; "" if no single property caused it.
        detail: longer text such as a diff or the output of a tool; "" if there is none.
    """

    def __init__(self, code: str, message: str, *, hint: str = "", prop: str = "", detail: str = "") -> None:
        """Store the parts of the error. The exception's own text, `str(error)`, is only `message`."""
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.prop = prop
        self.detail = detail

    def as_json(self) -> dict[str, str]:
        """Return the error in the JSON form that the client gets."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "property": self.prop,
            "detail": self.detail,
        }
