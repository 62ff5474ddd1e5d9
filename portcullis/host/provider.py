"""The life of every host resource: check, diff, read, create, update, delete, import."""

from __future__ import annotations

import os
import sys
import traceback
from abc import abstractmethod
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, ClassVar

import pulumi
from pulumi.output import Unknown

from portcullis.agent import wire
from portcullis.agent.redaction import UNCHANGED
from portcullis.agent.wire import Desired, Facts, Malformed, decode, encode
from portcullis.host.errors import HostError, Subject
from portcullis.host.session import WRITE_TIMEOUT, Channel, session, who
from portcullis.host.survey import Item, survey
from portcullis.provider import changes
from portcullis.provider.base import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    Props,
    Provider,
    ReadResult,
    UpdateResult,
)
from portcullis.provider.changes import STAYS, Line, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.host.agent_process import Json
    from portcullis.provider.changes import Change

# The output that is no input, over all kinds; everything else in a resource's state is an input.
_REVISION = "revision"
WITHHELD = "<changed on the host, and not shown to the preview key>"
"""Stands for a content that is not the one that was written, and may be a secret."""
ABSENT = wire.ABSENT
"""Stands for a property of a thing that somebody removed from the host."""

_TYPE_WORDS = {
    "bool": "true or false",
    "float": "a number",
    "int": "a whole number",
    "str": "a text",
    "Mapping[str, str]": "a map of texts",
    "Mapping": "a map",
    "Sequence[str]": "a list of texts",
    "Sequence": "a list",
}
"""How the types of `facts.py` begin, and what each is for people."""

_AT_DELETE = {
    "restore": "up brings back what was there before",
    "keep": f"{STAYS} on the host",
}
"""What `up` does to a thing that is no longer declared, by its `on_delete`."""

# The owner before an update, where an alias changed it; on its way to the host only.
_FORMER = "__former"


def is_known(value: object) -> bool:
    """Return whether a property has its value yet; in a preview it may come from a resource not made yet."""
    return not isinstance(value, Unknown) and value != pulumi.runtime.rpc.UNKNOWN


def mode_text(mode: str) -> str:
    """Return permission bits in the spelling that the host reads back: four octal digits."""
    return mode.rjust(4, "0")


class Normaliser:
    """Collects a resource's inputs in their one spelling, and every fault among them at once.

    One spelling matters: whatever `check` writes differently from what `read` returns is a diff for ever.
    """

    def __init__(self, news: Props) -> None:
        self.news = news
        self.inputs: Props = {}
        self.failures: list[CheckFailure] = []

    def fail(self, prop: str, reason: str) -> None:
        """Note a fault of one property."""
        self.failures.append(CheckFailure(prop, reason))

    def keep(self, *names: str) -> None:
        """Take properties over as they are, without those that are None."""
        self.inputs |= {name: self.news[name] for name in names if self.news.get(name) is not None}

    def text(self, name: str) -> str | None:
        """Take a text over and return it if it is known."""
        value = self.news.get(name)
        if not is_known(value):
            self.inputs[name] = value
            return None
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str) or not value:
            self.fail(name, f"must be a text, not {value!r}")
            return None
        self.inputs[name] = value
        return value

    def path(self, name: str) -> None:
        """Take an absolute, normal path over."""
        value = self.text(name)
        if value is not None and (
            not value.startswith("/") or os.path.normpath(value) != value or "\0" in value
        ):
            self.fail(name, f"{value!r} is not an absolute path in its shortest form, such as /etc/motd")

    def mode(self, name: str) -> None:
        """Take permission bits over as four octal digits in text."""
        value = self.text(name)
        if value is None:
            return
        digits = mode_text(value)
        if len(digits) != 4 or not set(digits) <= set("01234567"):  # noqa: PLR2004
            self.fail(name, f'{value!r} is not a mode in octal digits, such as "0644"')
        self.inputs[name] = digits

    def one_of(self, name: str, *choices: str) -> None:
        """Take a choice over."""
        value = self.text(name)
        if value is not None and value not in choices:
            self.fail(name, f"{value!r} is none of {', '.join(choices)}")

    def argv(self, name: str) -> None:
        """Take a command over: a list of words, or nothing."""
        value = self.news.get(name)
        if value is None:
            return
        if is_known(value) and (not value or not all(isinstance(word, str) for word in value)):
            self.fail(name, "must be a list of words, program first")
        self.inputs[name] = value

    def result(self) -> CheckResult:
        """Return what the engine gets."""
        return CheckResult(self.inputs, self.failures)


class HostProvider(Provider):
    """A kind of thing on a host; subclasses say how its inputs, spec and facts correspond.

    The agent does the work; this class never touches the host itself.
    """

    kind: ClassVar[str]
    """The agent's name of the kind."""
    desired_type: ClassVar[type[Desired]]
    """What is declared, as both halves know it."""
    facts_type: ClassVar[type[Facts]]
    """What is on the host, as both halves know it."""
    live: ClassVar[tuple[str, ...]] = ()
    """Inputs that are read back; each is one of the facts."""
    identity: ClassVar[tuple[str, ...]]
    """Inputs that cannot change without becoming another thing."""
    chosen: ClassVar[tuple[str, ...]] = ()
    """Outputs that the host chooses; each is one of the facts."""
    remembered: ClassVar[tuple[str, ...]] = ()
    """Outputs that only the state knows."""
    instead_of_import: ClassVar[str] = (
        "declare it with adopt=True: the first `up` takes over what stands there, and a delete gives it back"
    )
    """What to do with a thing of a kind that cannot be imported."""

    @abstractmethod
    def normalise(self, inputs: Normaliser) -> None:
        """Take the inputs of this kind over; common ones are done by `check`."""

    def desired(self, props: Props) -> Any:
        """Return what is declared. Not in `check` and `diff`: there a value may be unknown.

        Raises:
            HostError: the state is of another version.
        """
        names = {field.name for field in fields(self.desired_type)}
        try:
            # A state of another version may have inputs that are gone by now.
            return decode(self.desired_type, {key: value for key, value in props.items() if key in names})
        except Malformed as error:
            raise HostError(
                f"the state of this resource is of another version: {error}", hint="run `pulumi up` first"
            ) from None

    def item(self, props: Props) -> Item:
        """Return what the agent needs to find and read the thing."""
        wanted = self.desired(props)
        return Item(self.kind, wanted.id, encode(wanted.spec()))

    def live_inputs(self, facts: Any) -> Props:
        """Return those inputs whose live value the facts tell. None: it cannot be told, or is not managed."""
        told = {name: encode(getattr(facts, name)) for name in self.live}
        return {name: value for name, value in told.items() if value is not None}

    @abstractmethod
    def absent_inputs(self) -> Props:
        """Return those inputs that tell people that the thing is not there."""

    def asked(self, item: Item, props: Props) -> Json:
        """Return what every request about the thing says of it."""
        return {
            "stack": stack_of(props), "kind": item.kind, "item": item.id, "spec": item.spec,
            "desired": encode(self.desired(props)), "owner": props["managed_by"], "who": who(),
        }  # fmt: skip

    def apply(self, channel: Channel, item: Item, props: Props) -> Json:
        """Bring the thing to its desired state and return the facts after it."""
        facts: Json = self.put(channel, item, props)["facts"]
        return facts

    def put(
        self, channel: Channel, item: Item, props: Props, *, timeout: float = WRITE_TIMEOUT, **more: Any
    ) -> Json:
        """Ask the agent to bring the thing to its desired state; return its answer."""
        return channel.request(
            "put", timeout=timeout, write=True, adopt=bool(props.get("adopt")),
            former=props.get(_FORMER, ""), **self.asked(item, props), **more,
        )  # fmt: skip

    def withdraw(self, channel: Channel, item: Item, props: Props, **more: Any) -> Json:
        """Ask the agent to undo the thing; return its answer."""
        return channel.request("remove", timeout=WRITE_TIMEOUT, write=True, **self.asked(item, props), **more)

    def check(self, olds: Props, news: Props) -> CheckResult:
        """Bring inputs into their one spelling; the last net behind settings and arguments."""
        del olds
        try:
            sets = {name: _by_member(news[name], word) for name, word in self.sets.items() if name in news}
            inputs = Normaliser(news | sets)
            inputs.keep("managed_by")
            inputs.text("host")
            if news.get("adopt"):
                inputs.keep("adopt")
            self.normalise(inputs)
        except (AttributeError, TypeError):
            # Such as a number where a map belongs. As they are, the inputs tell which.
            inputs = Normaliser(news)
            inputs.keep(*(set(news) - set(self.sets)))
            for name in self.sets:
                if name in news and not _is_set(news[name]):
                    inputs.fail(name, "must be a list of texts")
            self._check_types(inputs)
            if not inputs.failures:
                raise
            return inputs.result()
        self._check_types(inputs)
        return inputs.result()

    def _check_types(self, inputs: Normaliser) -> None:
        """Refuse what `desired` would not take, while it is still a preview."""
        faulty = {failure.property.partition(".")[0] for failure in inputs.failures}
        for name, value in inputs.inputs.items():
            if name in faulty or not _is_known_throughout(value):
                continue
            try:
                wire.assert_type(self.desired_type, name, value)
            except Malformed:
                inputs.fail(name, f"must be {_type_words(self.desired_type, name)}")

    def diff(self, id_: str, olds: Props, news: Props) -> DiffResult:
        """Replace on a changed identity only; `changes` stays None, so the engine prints property diffs."""
        del id_
        changed = [
            key for key in self.identity if is_known(news.get(key)) and olds.get(key) != news.get(key)
        ]  # fmt: skip
        return DiffResult(replaces=changed, delete_before_replace=True)

    def create(self, props: Props) -> CreateResult:
        """Create the thing, or take over what stands there if it is equal or `adopt` is set."""
        outs = self._put(props)
        return CreateResult(f"{props['host']}:{self.item(props).id}", outs)

    def update(self, id_: str, olds: Props, news: Props) -> UpdateResult:
        """Bring the thing back to its desired state."""
        del id_
        former = olds["managed_by"]
        return UpdateResult(self._put(news if former == news["managed_by"] else {**news, _FORMER: former}))

    def read(self, id_: str, props: Props) -> ReadResult:
        """Return live facts as outputs and as inputs: the engine shows drift by comparing inputs.

        What somebody removed from the host is drift too, and not gone from the state: the engine would then
        never call `delete` for it, and what stood there before us would stay lost after a destroy.
        """
        with _Errors(self, props):
            facts = self._facts(props)
            live = (
                self.live_inputs(self._typed(told(facts, props))) if facts["exists"] else self.absent_inputs()
            )
        # Declared by number is read back by number: the host may have a name for it by now.
        live |= {
            key: facts[f"{key}_id"]
            for key in ("owner", "group")
            if key in live and f"{key}_id" in facts and str(props.get(key)).isdigit()
        }
        inputs = {
            key: value
            for key, value in props.items()
            if key != _REVISION and key not in self.chosen and key not in self.remembered
        } | live
        outs = dict(inputs)
        if _REVISION in props:
            outs[_REVISION] = facts.get(_REVISION) or props[_REVISION]
        outs |= {name: facts.get(name, props.get(name)) for name in self.chosen}
        outs |= {name: props.get(name) for name in self.remembered}
        return ReadResult(id_, outs, inputs)

    def delete(self, id_: str, props: Props) -> None:
        """Restore, remove or keep, as `on_delete` says; nothing when the thing has another owner by now."""
        del id_
        with _Errors(self, props):
            channel = session(props["host"], stack_name(props))
            item = self.item(props)
            self.withdraw(channel, item, props)
            survey(channel, stack_of(props)).changed(item)

    def importable(self, item: str) -> Props | None:
        """Return the inputs of a thing to import that the host does not tell; None if that cannot be done.

        Args:
            item: what follows the alias in the id, such as /etc/motd.
        """
        del item
        return None

    def import_(self, id_: str, urn: str) -> ReadResult | None:
        """Read what stands on a host. Nothing is written there: who imports becomes owner with a change.

        Raises:
            HostError: the id is none, the kind cannot be imported, or the host could not be read.
        """
        host, _, item = id_.partition(":")
        if not host or not item:
            raise HostError(
                f"{id_!r} is no id to import",
                hint="write the host's alias, a colon, and the thing, such as web1:/etc/motd",
            )
        wanted = self.importable(item)
        if wanted is None:
            raise HostError(f"{self.type_name()} cannot be imported", hint=self.instead_of_import)
        props = {"host": host, "managed_by": urn, **wanted}
        with _Errors(self, props):
            facts = self._facts(props)
        if not facts["exists"]:
            return None
        revision = {_REVISION: facts[_REVISION]} if _REVISION in facts else {}
        inputs = self.check({}, self.read(id_, props).inputs).inputs
        return ReadResult(f"{host}:{self.item(props).id}", inputs | revision, inputs)

    def subject(self, change: Change) -> str:
        """Return what people call the thing: its path, its unit, its user."""
        return str(_thing(change.props) or change.name)

    def lines(self, change: Change) -> list[Line]:
        """Say for people what is different; a kind says in `differing` how the thing itself differs."""
        subject = self.subject(change)
        whole = changes.plain(change, subject)
        if change.op == "delete":
            return [replace(whole, remedy=_AT_DELETE.get(change.live.get("on_delete", ""), whole.remedy))]
        if change.op == "update" and ABSENT in change.live.values():
            return [Line(subject, "is gone", "up makes it", Severity.WRONG)]
        return self.differing(change, subject) if change.op == "update" else [whole]

    def differing(self, change: Change, subject: str) -> list[Line]:
        """Say how a thing that is there differs from its declaration."""
        return [changes.plain(change, subject)]

    def _typed(self, facts: Json) -> Any:
        """Return facts in their class. What a host answers is not trusted, and may be of another version."""
        try:
            return decode(self.facts_type, dict(facts))
        except Malformed as error:
            raise HostError(
                f"the host has an agent of another version: {error}",
                hint="preview with the version that was deployed, or deploy this one first",
            ) from None

    def _facts(self, props: Props) -> Json:
        return survey(session(props["host"], stack_name(props)), stack_of(props)).facts(self.item(props))

    def _put(self, props: Props) -> Props:
        with _Errors(self, props):
            channel = session(props["host"], stack_name(props))
            item = self.item(props)
            try:
                facts = self.apply(channel, item, props)
            finally:
                survey(channel, stack_of(props)).changed(item)
        outs = {key: value for key, value in props.items() if key != _FORMER}
        if _REVISION in facts:
            outs[_REVISION] = facts[_REVISION]
        return outs | {name: facts[name] for name in self.chosen}


def _is_known_throughout(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_known_throughout, value.values()))
    return all(map(_is_known_throughout, value)) if isinstance(value, list) else is_known(value)


def _type_words(declared: type[Desired], name: str) -> str:
    """Say for people of what type a field is."""
    (spelt,) = (str(field.type) for field in fields(declared) if field.name == name)
    spelt = spelt.removeprefix("Optional[")
    return next((words for start, words in _TYPE_WORDS.items() if spelt.startswith(start)), "of another type")


def _is_set(held: Any) -> bool:
    """Return whether something is a set of texts, in one of its two spellings."""
    return isinstance(held, list | dict) and all(isinstance(member, str) for member in held)


def _by_member(members: Any, word: str) -> Any:
    """Return a set that is given as a list as the map that stands for it."""
    if not isinstance(members, list):
        return members
    return dict.fromkeys(members, word) if all(map(is_known, members)) else pulumi.output.UNKNOWN


def told(facts: Json, props: Props) -> Json:
    """Return facts with what the preview key is not shown: as the state has it while the host says unchanged.

    Raises:
        HostError: the host's agent is of another version and does not tell what is needed.
    """
    withheld = facts.get("withheld") or {}
    kept = {name: props[name] if said == UNCHANGED else WITHHELD for name, said in withheld.items()}
    return _Told({**facts, **kept})


class _Told(dict[str, Any]):
    def __missing__(self, name: str) -> Any:
        raise HostError(
            f"the host has an agent of another version: it does not tell {name!r}",
            hint="preview with the version that was deployed, or deploy this one first",
        )


def stack_name(props: Props) -> str:
    """Return the stack's name out of the owner's URN."""
    return stack_of(props).rpartition("/")[2]


def stack_of(props: Props) -> str:
    """Return `project/stack` out of the owner's URN, urn:pulumi:STACK::PROJECT::TYPE::NAME."""
    head, project, _ = props["managed_by"].split("::", 2)
    return f"{project}/{head.rsplit(':', 1)[1]}"


def message_of_current_exception() -> str:
    """Return one message for people about the exception that is being handled."""
    error = sys.exception()
    if isinstance(error, HostError):
        return str(error)
    if os.environ.get("PORTCULLIS_DEBUG"):
        return "".join(traceback.format_exception(error))
    frame = traceback.extract_tb(error.__traceback__)[-1] if error and error.__traceback__ else None
    place = f" at {os.path.basename(frame.filename)}:{frame.lineno}" if frame else ""  # noqa: PTH119
    # The exception's text is left out: it may quote a value.
    return (
        f"a fault in Portcullis itself: {type(error).__name__}{place}; PORTCULLIS_DEBUG=1 shows the traceback"
    )


def _thing(props: Mapping[str, Any]) -> Any:
    return props.get("path") or props.get("lineage") or props.get("unit") or props.get("user") or ""


class _Errors:
    """Names the resource in every error that leaves the block."""

    def __init__(self, provider: HostProvider, props: Props) -> None:
        kind = provider.type_name()
        name = str(props.get("managed_by", "")).rsplit("::", 1)[-1]
        self._subject = Subject(str(props["host"]), f'{kind} "{name}"', str(_thing(props)))

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, error: BaseException | None, _tb: object) -> None:
        if isinstance(error, HostError):
            error.subject = self._subject
