"""The error of the lab: what went wrong, and what the user can do."""

from __future__ import annotations


class LabError(Exception):
    """An error with advice for the user. ``str()`` gives one line: the cause, then the advice."""

    def __init__(self, what: str, todo: str = "") -> None:
        """Store the cause and the advice separately, so that tests can check each of them."""
        super().__init__(f"{what}; {todo}" if todo else what)
        self.what = what
        self.todo = todo
