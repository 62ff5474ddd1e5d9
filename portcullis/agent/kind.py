"""The base class of all kinds of host resources.

The module `operations` uses this class to create, change and remove resources.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

from portcullis.agent.claims import NOTHING, Claims
from portcullis.agent.errors import AgentError
from portcullis.agent.wire import Desired, Facts, Malformed, Spec, decode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from portcullis.agent.machine import Machine
    from portcullis.agent.step import Json, Step
    from portcullis.agent.store import Record, Store

S = TypeVar("S", bound=Spec)
"""The class of a kind's specs: what the kind needs to know to read a resource."""
D = TypeVar("D", bound=Desired)
"""The class of the declared state."""
F = TypeVar("F", bound=Facts)
"""The class of the facts, the present state on the host."""

# A spec together with the record of the resource, if it has one.
Question = tuple[S, "Record | None"]
Answers = list[F | AgentError]


@dataclass(frozen=True)
class Work:
    """A change that is being made. `save` writes the record to the disk before the change has ended."""

    record: Record
    folder: Path
    adopt: bool
    save: Callable[[], None]


class Kind(ABC, Generic[S, D, F]):
    """A kind of host resource.

    Its three data classes are in the part's `facts.py`. The program's half uses the same classes. A kind may
    return a subclass of its facts. The fields that the subclass adds serve `plan`, and stay on the host.
    """

    spec_type: ClassVar[type[Spec]]
    desired_type: ClassVar[type[Desired]]
    facts_type: ClassVar[type[Facts]]

    def __init__(self, machine: Machine, store: Store) -> None:
        """Store the host, and the records of the resources that we manage on it."""
        self._machine = machine
        self._store = store

    @abstractmethod
    def facts(self, questions: Sequence[Question[S]]) -> Answers[F]:
        """Return the facts of many resources. A resource that cannot be read has an error as its answer."""

    @abstractmethod
    def plan(self, desired: D, facts: F) -> list[Step]:
        """Return the steps to the declared state, without any I/O.

        If the list is empty, the host is as declared.
        """

    def obstacle(self, desired: D, facts: F) -> AgentError | None:
        """Return an obstacle that no setting can overcome, such as a directory at a file's path."""
        return None

    def is_unmodified_default(self, item: str, facts: F) -> bool:
        """Return whether the present state is a system default, which `up` may replace without `adopt`."""
        return False

    def keep_instead(self, item: str) -> str:
        """Return advice that the hint gives before the advice to set `adopt`; "" by default."""
        return ""

    def redacted(self, record: Record, facts: F) -> F:
        """Return the part of the facts that a client with the preview key may see.

        Raises `AgentError` where the agent cannot tell which facts are secret.
        """
        return facts

    def claims(self, record: Record) -> Claims:
        """Return the claims of this resource: the items that the inventory does not report as undeclared.

        Another version of Portcullis may have written the record. If a value is missing in the record's spec,
        `claims` claims nothing for this value.
        """
        return NOTHING

    def before_first_change(self) -> None:
        """Prepare for the first change that the agent makes on a machine."""

    def original(self, item: str, facts: F, folder: Path) -> Json:
        """Describe the state before the first change, so that `remove` can restore it.

        A copy of the original file is written to `folder`.
        """
        return {}

    def accept(self, desired: D, facts: F, record: Record) -> None:
        """Note in the record how the things are that the settings accept."""

    @abstractmethod
    def apply(self, desired: D, steps: list[Step], work: Work) -> None:
        """Carry out `steps`.

        `apply` may keep notes in ``record.extra``. Raises `AgentError`. `apply` is also called without steps,
        because an interrupted run may have left work to finish.
        """

    @abstractmethod
    def remove(self, desired: D, record: Record, folder: Path) -> str:
        """Undo the changes that we made to the resource.

        Return ``restored``, ``removed``, ``kept`` or ``absent``. A second call changes nothing.
        """

    def as_spec(self, data: Json) -> S:
        """Return a spec from its JSON form. Raises `AgentError` (``invalid``)."""
        return cast("S", _decoded(self.spec_type, data))

    def as_desired(self, data: Json) -> D:
        """Return the declared state from its JSON form. Raises `AgentError` (``invalid``)."""
        return cast("D", _decoded(self.desired_type, data))


def each(read: Callable[[S, Record | None], F], questions: Sequence[Question[S]]) -> Answers[F]:
    """Read the facts of resources one by one.

    A kind uses this function if one read of many resources would not be faster.
    """
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
        raise AgentError("invalid", f"the request to the agent is malformed: {error}") from None
