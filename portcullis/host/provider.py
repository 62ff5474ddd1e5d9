"""The operations of every host resource: check, diff, read, create, update, delete, import."""

from __future__ import annotations

import os
import sys
import traceback
from abc import abstractmethod
from copy import copy
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, ClassVar

import pulumi
from pulumi.output import Unknown

from portcullis.agent import wire
from portcullis.agent.declared import MODE, PATH, Declaration, Form, Property, one_of
from portcullis.agent.redaction import UNCHANGED
from portcullis.agent.wire import Desired, Facts, Malformed, decode, encode
from portcullis.host.errors import HostError, Subject, not_ours
from portcullis.host.session import WRITE_TIMEOUT, Channel, session, who
from portcullis.host.survey import Item, survey
from portcullis.printable import printable_values
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

# Many kinds have this output, which is no input. Other outputs are inputs, `chosen` or `remembered`.
_REVISION = "revision"
REDACTED = "<changed on the host, and not shown to the preview key>"
"""Replaces content that differs from the written content, because it may be a secret."""
ABSENT = wire.ABSENT
"""The value of a property of a thing that somebody removed from the host."""

_TYPE_WORDS = {
    "bool": "true or false",
    "float": "a number",
    "int": "a whole number",
    "str": "a text",
    "Mapping[str, str]": "a map of texts",
    "dict[str, str]": "a map of texts",
    "Mapping": "a map",
    "Sequence[str]": "a list of texts",
    "Sequence": "a list",
}
"""The beginnings of type annotations in `facts.py`, with words for people."""

_BY_ADOPTION = (
    "declare it with adopt=True: the first `up` takes over the existing thing, and a delete restores it"
)
_AT_DELETE = {
    "restore": "up restores what was there before",
    "keep": f"{STAYS} on the host",
}
"""What `up` does to a thing that is no longer declared, by its `on_delete`."""

# The former owner, if an alias of the resource changed the owner. Only the host gets this property.
_FORMER = "__former"


def is_known(value: object) -> bool:
    """Tell whether the value of a property is known.

    In a preview, the value may come from a resource that does not exist yet.
    """
    return not isinstance(value, Unknown) and value != pulumi.runtime.rpc.UNKNOWN


def mode_text(mode: str) -> str:
    """Return permission bits as the host reports them: four octal digits."""
    return mode.rjust(4, "0")


class Normaliser:
    """Collects a resource's inputs in their normal form, and all their faults at once.

    The form matters: if `check` and `read` return one value in two forms, every preview shows a difference.
    """

    def __init__(self, news: Props) -> None:
        self.news = news
        self.inputs: Props = {}
        self.failures: list[CheckFailure] = []

    def fail(self, prop: str, reason: str) -> None:
        """Report a fault of one property."""
        self.failures.append(CheckFailure(prop, reason))

    def keep(self, *names: str) -> None:
        """Accept properties unchanged, except those that are None."""
        self.inputs |= {name: self.news[name] for name in names if self.news.get(name) is not None}

    def text(self, name: str, *, secret: bool = False) -> str | None:
        """Accept a text, and return it if it is known. No fault quotes a secret."""
        value = self.news.get(name)
        if not is_known(value):
            self.inputs[name] = value
            return None
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str) or not value:
            self.fail(name, "must be a text" + ("" if secret else f", not {value!r}"))
            return None
        self.inputs[name] = value
        return value

    def path(self, name: str) -> None:
        """Accept an absolute path in its shortest form."""
        self.formed(name, PATH)

    def mode(self, name: str) -> None:
        """Accept permission bits, as a text of four octal digits."""
        self.formed(name, MODE)

    def one_of(self, name: str, *choices: str) -> None:
        """Accept one of several words."""
        self.formed(name, one_of(*choices))

    def formed(self, name: str, form: Form, *, secret: bool = False) -> None:
        """Accept a text, in its normal form."""
        value = self.text(name, secret=secret)
        if value is None:
            return
        try:
            self.inputs[name] = form(value)
        except ValueError as error:
            self.fail(name, "has the wrong form; a secret is not shown" if secret else str(error))

    def declared(self, one: Property) -> None:
        """Accept a property as it is declared in `facts.py`. The type of its value is checked later."""
        value = self.news.get(one.name)
        if one.role == "ReadBack":
            self.inputs[one.name] = copy(one.default)
        elif one.omit and not value:
            return
        elif one.form:
            self.formed(one.name, one.form, secret=one.secret)
        else:
            self.inputs[one.name] = value

    def argv(self, name: str) -> None:
        """Accept a command: a list of words, or nothing."""
        value = self.news.get(name)
        if value is None:
            return
        if is_known(value) and (not value or not all(isinstance(word, str) for word in value)):
            self.fail(name, "must be a list of words, program first")
        self.inputs[name] = value

    def result(self) -> CheckResult:
        """Return the result of `check` for Pulumi's engine."""
        return CheckResult(self.inputs, self.failures)


class HostProvider(Provider):
    """A kind of thing on a host. Subclasses tell how its inputs, spec and facts correspond.

    The agent does the work. This class never touches the host itself.
    """

    kind: ClassVar[str]
    """The agent's name of the kind."""
    desired_type: ClassVar[type[Desired]]
    """The type of the declaration, which both halves share."""
    facts_type: ClassVar[type[Facts]]
    """The type of the facts on the host, which both halves share."""
    live: ClassVar[tuple[str, ...]] = ()
    """Inputs that `read` takes from the host. Each is one of the facts."""
    identity: ClassVar[tuple[str, ...]]
    """Inputs that identify the thing: a change of one replaces the resource."""
    chosen: ClassVar[tuple[str, ...]] = ()
    """Outputs that the host chooses. Each is one of the facts."""
    remembered: ClassVar[tuple[str, ...]] = ()
    """Outputs that only the state holds."""
    instead_of_import: ClassVar[str] = _BY_ADOPTION
    """A hint for kinds that cannot be imported."""

    def __init_subclass__(cls, **more: Any) -> None:
        """Add what the declaration says about properties to what the class says."""
        super().__init_subclass__(**more)
        declared = declared_properties(cls)
        if declared:
            facts = {field.name for field in fields(cls.facts_type)}
            mine = vars(cls)
            cls.live = (*(name for name in declared if name in facts), *mine.get("live", ()))
            cls.identity = ("host", *(name for name, one in declared.items() if one.identity))
            cls.secrets = (*(name for name, one in declared.items() if one.secret), *mine.get("secrets", ()))

    def normalise(self, inputs: Normaliser) -> None:
        """Check the inputs of this kind as they are declared. `check` handles the inputs of all kinds.

        A kind overrides this method for rules that need several inputs, or names within an input.
        """
        for one in declared_properties(type(self)).values():
            inputs.declared(one)

    def desired(self, props: Props) -> Any:
        """Return the declaration.

        `check` and `diff` cannot call this method, because they may get unknown values.

        Raises:
            HostError: another version of Portcullis wrote the state.
        """
        names = {field.name for field in fields(self.desired_type)}
        try:
            # A state of another version may have inputs that this version does not have.
            return decode(self.desired_type, {key: value for key, value in props.items() if key in names})
        except Malformed as error:
            raise HostError(
                f"another version of Portcullis wrote the state of this resource: {error}",
                hint="run `pulumi up` first",
            ) from None

    def item(self, props: Props) -> Item:
        """Return the spec, by which the agent finds and reads the resource."""
        wanted = self.desired(props)
        return Item(self.kind, wanted.id, encode(wanted.spec()))

    def live_inputs(self, facts: Any) -> Props:
        """Return the inputs in `live`, each with its value from the facts.

        A fact that is None is unknown or not managed.
        """
        told = {name: encode(getattr(facts, name)) for name in self.live}
        return {name: value for name, value in told.items() if value is not None}

    @abstractmethod
    def absent_inputs(self) -> Props:
        """Return inputs that show people that the resource is missing on the host."""

    def asked(self, item: Item, props: Props) -> Json:
        """Return the fields that every request about the resource contains."""
        return {
            "stack": stack_of(props), "kind": item.kind, "item": item.id, "spec": item.spec,
            "desired": encode(self.desired(props)), "owner": props["managed_by"], "who": who(),
        }  # fmt: skip

    def apply(self, channel: Channel, item: Item, props: Props) -> Json:
        """Bring the resource to its declared state on the host, and return the facts after it."""
        facts: Json = self.put(channel, item, props)["facts"]
        return facts

    def put(
        self, channel: Channel, item: Item, props: Props, *, timeout: float = WRITE_TIMEOUT, **more: Any
    ) -> Json:
        """Ask the agent to bring the resource to its declared state, and return the answer."""
        return channel.request(
            "put", timeout=timeout, write=True, adopt=bool(props.get("adopt")),
            former=props.get(_FORMER, ""), **self.asked(item, props), **more,
        )  # fmt: skip

    def withdraw(self, channel: Channel, item: Item, props: Props, **more: Any) -> Json:
        """Ask the agent to remove the resource or to restore its original, and return the answer."""
        return channel.request("remove", timeout=WRITE_TIMEOUT, write=True, **self.asked(item, props), **more)

    def check(self, olds: Props, news: Props) -> CheckResult:
        """Bring inputs into their normal form.

        This check comes after the checks of settings and arguments.
        """
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
            # An input has a wrong type, for example a number instead of a map. Check the types of all inputs.
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
        """Refuse values that `desired` would refuse, so that the preview already reports them."""
        faulty = {failure.property.partition(".")[0] for failure in inputs.failures}
        for name, value in inputs.inputs.items():
            if name in faulty or not _is_known_throughout(value):
                continue
            try:
                wire.assert_type(self.desired_type, name, value)
            except Malformed:
                inputs.fail(name, f"must be {_type_words(self.desired_type, name)}")

    def diff(self, id_: str, olds: Props, news: Props) -> DiffResult:
        """Tell Pulumi's engine to replace the resource only if the identity changed.

        `changes` stays None, so Pulumi's engine prints property diffs.
        """
        del id_
        changed = [
            key for key in self.identity if is_known(news.get(key)) and olds.get(key) != news.get(key)
        ]  # fmt: skip
        return DiffResult(replaces=changed, delete_before_replace=True)

    def create(self, props: Props) -> CreateResult:
        """Create the resource on the host, or take over an existing one that is as declared.

        With `adopt`, the existing one may differ from the declaration.
        """
        outs = self._put(props)
        return CreateResult(f"{props['host']}:{self.item(props).id}", outs)

    def update(self, id_: str, olds: Props, news: Props) -> UpdateResult:
        """Bring the resource back to its declared state on the host."""
        del id_
        former = olds["managed_by"]
        return UpdateResult(self._put(news if former == news["managed_by"] else {**news, _FORMER: former}))

    def read(self, id_: str, props: Props) -> ReadResult:
        """Return live facts as outputs and as inputs. The engine compares inputs to show drift.

        A thing that somebody removed from the host is drift too, and stays in the state. Otherwise the engine
        would never call `delete` for it, and a destroy would not restore the original.
        """
        with Errors(self, props):
            facts = self._facts(props)
            typed = self._typed(told(facts, props))
            live = self.live_inputs(typed) if typed.exists else self.absent_inputs()
        # An owner that is declared by number is read by number, even if the host now has a name for it.
        live |= {
            key: facts[f"{key}_id"]
            for key in ("owner", "group")
            if key in live and f"{key}_id" in facts and str(props.get(key)).isdecimal()
        }
        live = printable_values(live, props)
        inputs = {
            key: value
            for key, value in props.items()
            if key != _REVISION and key not in self.chosen and key not in self.remembered
        } | live
        outs = dict(inputs)
        if _REVISION in props:
            outs[_REVISION] = facts.get(_REVISION) or props[_REVISION]
        outs |= printable_values({name: facts.get(name, props.get(name)) for name in self.chosen}, props)
        outs |= {name: props.get(name) for name in self.remembered}
        return ReadResult(id_, outs, inputs)

    def delete(self, id_: str, props: Props) -> None:
        """Restore, remove or keep the thing, as `on_delete` says. If it has another owner now, do nothing."""
        del id_
        with Errors(self, props):
            channel = session(props["host"], stack_name(props))
            item = self.item(props)
            self.withdraw(channel, item, props)
            survey(channel, stack_of(props)).changed(item)

    def importable(self, item: str) -> Props | None:
        """Return the inputs of an import that do not come from the host, or None if the kind has no import.

        Args:
            item: the part of the id after the alias, such as /etc/motd.
        """
        del item
        return None

    def import_(self, id_: str, urn: str) -> ReadResult | None:
        """Read a thing for an import. This writes nothing: the resource becomes owner with its first change.

        Raises:
            HostError: the id is not valid, the kind cannot be imported, or the host cannot be read.
        """
        host, _, item = id_.partition(":")
        if not host or not item:
            raise HostError(
                f"{id_!r} is not a valid id for an import",
                hint="write the host's alias, a colon, and the path or name of the resource: web1:/etc/motd",
            )
        wanted = self.importable(item)
        if wanted is None:
            raise HostError(f"{self.type_name()} cannot be imported", hint=self.instead_of_import)
        props = {"host": host, "managed_by": urn, **wanted}
        with Errors(self, props):
            facts = self._facts(props)
            if printable_values(facts) != facts:
                # The state would hold the printable form, and the next `up` would write that form.
                raise HostError(
                    "the file or setting to import contains characters that are not safe to print",
                    hint=_BY_ADOPTION,
                )
        if not facts["exists"]:
            return None
        revision = {_REVISION: facts[_REVISION]} if _REVISION in facts else {}
        inputs = self.check({}, self.read(id_, props).inputs).inputs
        return ReadResult(f"{host}:{self.item(props).id}", inputs | revision, inputs)

    def subject(self, change: Change) -> str:
        """Return the name of the thing for people: its path, its unit, its user."""
        return str(_thing(self, change.props) or change.name)

    def lines(self, change: Change) -> list[Line]:
        """Describe a change for people. Kinds override `differing` to tell how the thing itself differs."""
        subject = self.subject(change)
        whole = changes.plain(change, subject)
        if change.op == "delete":
            return [replace(whole, remedy=_AT_DELETE.get(change.live.get("on_delete", ""), whole.remedy))]
        if change.op == "update" and ABSENT in change.live.values():
            return [Line(subject, "is gone", "up creates it", Severity.WRONG)]
        return self.differing(change, subject) if change.op == "update" else [whole]

    def differing(self, change: Change, subject: str) -> list[Line]:
        """Describe the differences between an existing resource and its declaration."""
        return [changes.plain(change, subject)]

    def _typed(self, facts: Json) -> Any:
        """Return facts as an object of their class.

        The facts are checked, because the host is not trusted.
        """
        try:
            return decode(self.facts_type, dict(facts))
        except Malformed as error:
            raise not_ours(str(error)) from None

    def _facts(self, props: Props) -> Json:
        return survey(session(props["host"], stack_name(props)), stack_of(props)).facts(self.item(props))

    def _put(self, props: Props) -> Props:
        with Errors(self, props):
            channel = session(props["host"], stack_name(props))
            item = self.item(props)
            try:
                facts = self.apply(channel, item, props)
            finally:
                survey(channel, stack_of(props)).changed(item)
        outs = {key: value for key, value in props.items() if key != _FORMER}
        if _REVISION in facts:
            outs[_REVISION] = facts[_REVISION]
        outs |= printable_values({name: self._one(facts, name) for name in self.chosen}, props)
        return outs

    def _one(self, facts: Json, name: str) -> Any:
        """Return one fact, and check its type."""
        try:
            wire.assert_type(self.facts_type, name, facts.get(name))
        except Malformed as error:
            raise not_ours(str(error)) from None
        return facts[name]


def _is_known_throughout(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_known_throughout, value.values()))
    return all(map(_is_known_throughout, value)) if isinstance(value, list) else is_known(value)


def declared_properties(kind: type[HostProvider]) -> Mapping[str, Property]:
    """Return the properties of a kind by name. Kinds without a `Declaration` have none here."""
    declared: type = getattr(kind, "desired_type", object)
    return declared.properties if issubclass(declared, Declaration) else {}


def _type_words(declared: type[Desired], name: str) -> str:
    """Return the type of a field in words for people."""
    (spelt,) = (str(field.type) for field in fields(declared) if field.name == name)
    return next((words for start, words in _TYPE_WORDS.items() if spelt.startswith(start)), "of another type")


def _is_set(held: Any) -> bool:
    """Tell whether a value is a set of texts: a list, or a map whose keys are the members."""
    return isinstance(held, list | dict) and all(isinstance(member, str) for member in held)


def _by_member(members: Any, word: str) -> Any:
    """Return a set as a map whose keys are the members. A set that is a map already stays unchanged."""
    if not isinstance(members, list):
        return members
    return dict.fromkeys(members, word) if all(map(is_known, members)) else pulumi.output.UNKNOWN


def told(facts: Json, props: Props) -> Json:
    """Return facts, and fill in the values that the host redacts for the preview key.

    If the host says that a redacted value is unchanged, the value of the state takes its place. Otherwise
    `REDACTED` takes its place.

    Raises:
        HostError: the host's agent has another version and omits a needed fact.
    """
    redacted = facts.get("redacted") or {}
    if not isinstance(redacted, dict):
        raise not_ours("the field `redacted` in the agent's answer is not a map")
    kept = {name: props.get(name) if said == UNCHANGED else REDACTED for name, said in redacted.items()}
    return _Facts({**facts, **kept})


class _Facts(dict[str, Any]):
    """Facts as a map that raises an error for people if a fact is missing."""

    def __missing__(self, name: str) -> Any:
        raise not_ours(f"the field {name!r} is missing in the agent's answer")


def stack_name(props: Props) -> str:
    """Return the stack's name from the owner's URN."""
    return stack_of(props).rpartition("/")[2]


def stack_of(props: Props) -> str:
    """Return `project/stack` from the owner's URN, urn:pulumi:STACK::PROJECT::TYPE::NAME."""
    head, project, _ = props["managed_by"].split("::", 2)
    return f"{project}/{head.rsplit(':', 1)[1]}"


def message_of_current_exception() -> str:
    """Return one message for people about the current exception."""
    error = sys.exception()
    if isinstance(error, HostError):
        return str(error)
    if os.environ.get("PORTCULLIS_DEBUG"):
        return "".join(traceback.format_exception(error))
    frame = traceback.extract_tb(error.__traceback__)[-1] if error and error.__traceback__ else None
    place = f" at {os.path.basename(frame.filename)}:{frame.lineno}" if frame else ""  # noqa: PTH119
    # The message omits the exception's text, which may quote a secret value.
    return (
        f"a fault in Portcullis itself: {type(error).__name__}{place}; PORTCULLIS_DEBUG=1 shows the traceback"
    )


def _thing(provider: HostProvider, props: Mapping[str, Any]) -> str:
    """Return what the resource is on the host, such as a path. Other inputs may be whole files."""
    named = (props.get(key) for key in ("path", "lineage", "unit", "user") if key in provider.identity)
    return str(next(filter(None, named), ""))


class Errors:
    """Sets the resource as the subject of every error that leaves the block."""

    def __init__(self, provider: HostProvider, props: Props) -> None:
        kind = provider.type_name()
        name = str(props.get("managed_by", "")).rsplit("::", 1)[-1]
        self._subject = Subject(str(props["host"]), f'{kind} "{name}"', _thing(provider, props))

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, error: BaseException | None, _tb: object) -> None:
        if isinstance(error, HostError):
            error.subject = self._subject
