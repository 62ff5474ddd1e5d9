"""Who logs in to a host."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from portcullis.config.forms import KeyName, LoginKey
from portcullis.config.kinds import MapOf
from portcullis.config.section import Section, Written

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portcullis.config.faults import Place


class UserArgs(Section):
    """Somebody who logs in."""

    what: ClassVar[str] = "a user"

    keys: MapOf[KeyName, LoginKey] = Field(default_factory=dict)
    """The public keys that let them in, by a name for each. Any other key on the host is drift."""
    sudo: bool = False
    """May become root without a password."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse one key under two names: on the host it is one line."""
        for first, place in repeated(written):
            place.report(f"is the same key as {first}", "keep one of the two")


def repeated(written: Written) -> Iterator[tuple[str, Place]]:
    """Give the place of each key in `keys` that is there already, and the name of the first one."""
    named: dict[str, str] = {}
    for name, line, place in written.items("keys"):
        first = named.setdefault(" ".join(str(line).split()[:2]), name)
        if first != name:
            yield first, place
