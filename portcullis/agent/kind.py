"""What every kind of thing can do; `put` and `remove` are written once over it (see `operations`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, List, Optional, Tuple, TypeVar, Union, cast

from portcullis.agent.claims import NOTHING, Claims
from portcullis.agent.errors import AgentError
from portcullis.agent.wire import Desired, Facts, Malformed, Spec, decode

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Callable

    from portcullis.agent.machine import Machine
    from portcullis.agent.step import Json, Step
    from portcullis.agent.store import Record, Store

S = TypeVar("S", bound=Spec)
"""The class of a kind's specs: what it needs to know to read a thing."""
D = TypeVar("D", bound=Desired)
"""The class of what is declared."""
F = TypeVar("F", bound=Facts)
"""The class of what is on the host."""

# A spec together with the record of the thing, if it has one.
Question = Tuple[S, Optional["Record"]]
Answers = List[Union[F, AgentError]]


@dataclass(frozen=True)
class Work:
    """A change under way: the thing's record, the folder for its bytes, `save` to keep notes midway."""

    record: Record
    folder: Path
    adopt: bool
    save: Callable[[], None]


class Kind(ABC, Generic[S, D, F]):
    """A kind of thing on the host.

    Its three data classes stand in the part's `facts.py`; the program's half uses the same ones. A kind may
    return a subclass of its facts: what the subclass adds is for `plan` and its like, and stays on the host.
    """

    spec_type: ClassVar[type[Spec]]
    desired_type: ClassVar[type[Desired]]
    facts_type: ClassVar[type[Facts]]

    def __init__(self, machine: Machine, store: Store) -> None:
        """Take the host, and the records of what we manage on it."""
        self._machine = machine
        self._store = store

    @abstractmethod
    def facts(self, questions: Sequence[Question[S]]) -> Answers[F]:
        """Return what is there now, for many at once; what cannot be read is an error among the answers."""

    @abstractmethod
    def plan(self, desired: D, facts: F) -> list[Step]:
        """Return what has to be done; pure. Empty means that the host is as declared."""

    def obstacle(self, desired: D, facts: F) -> AgentError | None:
        """Return what blocks every declaration, such as a directory where a file is declared; pure."""
        return None

    def is_unmodified_default(self, item: str, facts: F) -> bool:
        """Return whether what stands there is the system's own, so that we may replace it without `adopt`."""
        return False

    def keep_instead(self, item: str) -> str:
        """Return what else to do than to let it be replaced, as the start of the hint; nothing by default."""
        return ""

    def redacted(self, record: Record, facts: F) -> F:
        """Return what the preview key may see of the facts. Raises `AgentError` where that cannot be told."""
        return facts

    def claims(self, record: Record) -> Claims:
        """Return what on the host is this thing's own, so that the inventory does not tell of it; pure.

        A record may be of another version: what its spec lacks claims nothing.
        """
        return NOTHING

    def before_first_change(self) -> None:
        """Do what has to come before the first change that the agent makes on a machine."""

    def original(self, item: str, facts: F, folder: Path) -> Json:
        """Keep what stands there before the first change; bytes go to `folder`."""
        return {}

    @abstractmethod
    def apply(self, desired: D, steps: list[Step], work: Work) -> None:
        """Carry out `steps`. May note things in ``record.extra``. Raises `AgentError`.

        With no steps there may still be something to finish that an interrupted run left.
        """

    @abstractmethod
    def remove(self, desired: D, record: Record, folder: Path) -> str:
        """Undo: ``restored``, ``removed``, ``kept`` or ``absent``. Doing it twice is harmless."""

    def as_spec(self, data: Json) -> S:
        """Return a spec as it came over the wire. Raises `AgentError` (``invalid``)."""
        return cast("S", _decoded(self.spec_type, data))

    def as_desired(self, data: Json) -> D:
        """Return what is declared as it came over the wire. Raises `AgentError` (``invalid``)."""
        return cast("D", _decoded(self.desired_type, data))


def each(read: Callable[[S, Record | None], F], questions: Sequence[Question[S]]) -> Answers[F]:
    """Answer questions one by one, for a kind that gains nothing from reading many at once."""
    answers: Answers[F] = []
    for spec, record in questions:
        try:
            answers.append(read(spec, record))
        except AgentError as error:
            answers.append(error)
    return answers


def _decoded(cls: type[Any], data: Json) -> Any:
    try:
        return decode(cls, data)
    except Malformed as error:
        raise AgentError("invalid", f"the request is malformed: {error}") from None
