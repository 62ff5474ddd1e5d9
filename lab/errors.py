"""The one error of the lab: a sentence for people, and what to do about it."""

from __future__ import annotations


class LabError(Exception):
    """Something a person can act on. ``str()`` gives one line: what is wrong, then what to do."""

    def __init__(self, what: str, todo: str = "") -> None:
        """Keep the sentence and the advice apart, so that tests can look at either."""
        super().__init__(f"{what}; {todo}" if todo else what)
        self.what = what
        self.todo = todo
