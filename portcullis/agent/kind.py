"""What every kind of thing can do; `put` and `remove` are written once over it (see `operations`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, List, Optional, Protocol, Tuple, Union

from portcullis.agent.errors import HostError
from portcullis.agent.step import Json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Callable

    from portcullis.agent.step import Step
    from portcullis.agent.store import Record

# A spec together with the record of the thing, if it has one.
Question = Tuple[Json, Optional["Record"]]
Answers = List[Union[Json, HostError]]


@dataclass(frozen=True)
class Work:
    """A change under way: the thing's record, the folder for its bytes, `save` to keep notes midway."""

    record: Record
    folder: Path
    adopt: bool
    save: Callable[[], None]


class Kind(Protocol):
    """A kind of thing on the host.

    Facts are JSON with ``exists``. Keys that begin with ``_`` are for `plan` and its like; they stay here.
    """

    def spec(self, item: str, desired: Json) -> Json:
        """What `facts` needs to know to read this thing."""
        ...

    def facts(self, questions: Sequence[Question]) -> Answers:
        """What is there now, for many at once; one that cannot be read is an error among the answers."""
        ...

    def plan(self, desired: Json, facts: Json) -> list[Step]:
        """What has to be done; pure. Empty means that the host is as declared."""
        ...

    def obstacle(self, desired: Json, facts: Json) -> HostError | None:
        """What is in the way whatever was declared, such as a directory where a file shall be; pure."""
        ...

    def is_nobodys(self, item: str, facts: Json) -> bool:
        """Whether what differs there may be replaced without asking on first touch."""
        ...

    def original(self, item: str, facts: Json, folder: Path) -> Json:
        """Keep what stands there before the first change; bytes go to `folder`."""
        ...

    def apply(self, desired: Json, steps: list[Step], work: Work) -> None:
        """Carry out `steps`. May note things in ``record.extra``. Raises `HostError`.

        With no steps there may still be something to finish that an interrupted run left.
        """
        ...

    def remove(self, desired: Json, record: Record, folder: Path) -> str:
        """Undo: ``restored``, ``removed``, ``kept`` or ``absent``. Doing it twice is harmless."""
        ...
