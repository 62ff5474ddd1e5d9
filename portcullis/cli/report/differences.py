"""Turn the events of Pulumi's engine into the differences that a report shows. The functions do no I/O.

A report shows what `up` would change. A refresh finds more differences, in values that a provider reads and
nobody declares. The report leaves these additional differences out. A difference is "by hand" if the host is
no longer as the last `up` left it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from portcullis.agent.quotes import quoted
from portcullis.cli.report import foreign
from portcullis.cli.report.events import EngineStep, Message
from portcullis.printable import MARK, one_line
from portcullis.provider.changes import SECRET, UNKNOWN, Change, Severity, at, known, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from portcullis.cli.report.events import Event, State
    from portcullis.provider.base import Provider
    from portcullis.provider.changes import Line, Op, Path

_OURS = "portcullis:index:"
_STACK = "pulumi:pulumi:Stack"
_SERVED = "portcullis:index:ServedSites"
_SSH = "ssh://"
_PROVIDERS = "pulumi:providers:"
_REPLACES = ("replace", "create-replacement", "delete-replaced")
_DOES = {"create": "create", "import": "create", "update": "update", "delete": "delete"} | dict.fromkeys(
    _REPLACES, "replace"
)
_NOISE = {
    "warning": re.compile(r"using pulumi-\S+ from \$PATH"),
    "error": re.compile(
        r"^\d+ errors? occurred(?!:\s*\*)|^(preview|update|destroy) failed|^Detected that .* exited premat"
    ),
}
"""Messages that the engine prints in every run, or in addition to an error that is reported already."""
_FILLERS = re.compile(
    r"^(?:(?:Preview|Update) failed: "
    r"|(?:refreshing|reading|creating|updating|deleting|replacing) urn:\S+ "
    r"|\d+ errors? occurred:\s*\* )*"
)
# The official docker plugin also writes each error to its log, which the engine shows.
_LOGGED = re.compile(r"^sdk-v2/\S+:\d+: sdk\.\w+: (.*): provider=\S+$", re.DOTALL)
# In a command that the engine suggests, a URN stays as it is.
_URN = re.compile(r"(?<!unprotect ')urn:pulumi:[^\s'\"]+?::([^\s:'\"]+)(?=:?[\s'\",)]|:?$)")
_SUBJECT = re.compile(r'^([\w.-]+): [A-Z]\w* ".*?"(?: \([^)]*\))?: (.*)$', re.DOTALL)
_SETTINGS = "The settings of this stack have "


@dataclass(frozen=True, slots=True)
class Detail:
    """One property of a difference: its path, its value on the host, and its value after `up`."""

    path: str
    live: Any
    goal: Any


@dataclass(frozen=True, slots=True)
class Difference:
    """One resource or item on a host that is not as declared, described for people.

    Attributes:
        host: alias of the host; "" if the difference is on no host.
        subject: the name of the resource or item, for people.
        what: the difference, in words.
        remedy: what `up` does about this difference. The remedy begins with "stays" if `up` does nothing.
        severity: "!!" for an open host or lost data, "!" if something does not work as declared, "" for a
            cosmetic difference.
        section: the subject area as a number, by which lines are sorted.
        by_hand: whether somebody made the difference by hand on the host.
        mine: whether the difference comes from a change in the code since the last `up`.
        stays: whether `up` leaves the difference as it is.
        urn: the URN of the resource in Pulumi, for programs.
        kind: the kind of resource, such as `File`.
        op: create, update, replace or delete.
        details: the properties that differ.
    """

    host: str
    subject: str
    what: str
    remedy: str
    severity: str
    section: int
    by_hand: bool
    mine: bool
    stays: bool
    urn: str
    kind: str
    op: str
    details: tuple[Detail, ...] = field(default=(), repr=False)

    @property
    def order(self) -> tuple[int, int, str, str]:
        """The key that sorts lines: the most dangerous first."""
        return Severity(self.severity).rank, self.section, self.host, self.subject


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a run of the engine.

    Attributes:
        stack: the stack's name.
        hosts: aliases of the stack's hosts.
        differences: the most dangerous first.
        follows: differences that follow from another one and disappear with it.
        errors: the errors, each message once.
        warnings: the warnings of the program and its providers.
        sites: the addresses of the hosts' sites.
        resources: the number of resources.
        seconds: the duration of the run.
        interrupted: whether somebody pressed Ctrl-C during the run.
    """

    stack: str = ""
    hosts: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()
    follows: tuple[Difference, ...] = ()
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    resources: int = 0
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def ok(self) -> bool:
        """Whether the run ended without errors."""
        return not self.errors

    @property
    def is_clean(self) -> bool:
        """Whether the hosts match the code."""
        return self.ok and not self.differences


@dataclass(slots=True)
class _Seen:
    """The steps of one resource: the engine refreshes it, and then `up` changes it.

    `left` is the delete of what an earlier `up` replaced and did not delete, because it failed.
    """

    found: EngineStep | None = None
    does: EngineStep | None = None
    left: EngineStep | None = None


@dataclass(slots=True)
class Collector:
    """Takes events as they come, and makes a report of them at any time."""

    stack: str = ""
    _seen: dict[str, _Seen] = field(default_factory=dict)
    _messages: list[Message] = field(default_factory=list)
    _outputs: dict[str, Any] = field(default_factory=dict)
    _written: dict[str, Any] | None = None

    def take(self, event: Event) -> None:
        """Add the next event of Pulumi's engine."""
        if isinstance(event, Message):
            self._messages.append(event)
        else:
            self._take_step(event)

    def _take_step(self, step: EngineStep) -> None:
        # Every URN has the stack's name in its first part.
        self.stack = self.stack or step.urn.split("::")[0].rpartition(":")[2]
        if step.type == _STACK:
            if step.op != "refresh" and step.stage == "done":
                if step.old and self._written is None:
                    self._written = dict(step.old.outputs)
                self._outputs = dict(step.new.outputs) if step.new else {}
            return
        seen = self._seen.setdefault(step.urn, _Seen())
        if step.op == "refresh":
            # A refresh has read nothing before its step is done.
            seen.found = step if step.stage == "done" else seen.found
        elif step.op == "delete-replaced" and not (seen.does and seen.does.op in _REPLACES):
            seen.left = step  # if a replacement follows, this is its first half
        elif step.op in ("same", *_DOES):
            seen.left = None if step.op in _REPLACES else seen.left
            # A replacement has several steps. The step with both states has the most information.
            is_half = seen.does and seen.does.op in _REPLACES and not (step.old and step.new)
            seen.does = seen.does if is_half else step

    def lines_of(self, urn: str) -> list[tuple[Line, Difference]]:
        """Return the report's lines about one resource, each with its difference."""
        seen = self._seen.get(urn)
        if seen is None:
            return []
        found = self._lines_of(urn, seen, seen.does) if seen.does else []
        if seen.left:
            found += self._lines_of(urn, _Seen(), replace(seen.left, op="delete"), is_left=True)
        return found

    def settled(self) -> list[Difference]:
        """Return the differences that no step of an `up` removes, but that are gone after it.

        A resource that only tells of them has read the host again, after all changes.
        """
        return [
            found
            for urn, seen in self._seen.items()
            if seen.does and seen.does.new and seen.does.stage == "done"
            for line, found in self.lines_of(urn)
            if line.stays and len(line.at) > 1 and at(seen.does.new.outputs, line.at) is None
        ]

    def _lines_of(
        self, urn: str, seen: _Seen, does: EngineStep, *, is_left: bool = False
    ) -> list[tuple[Line, Difference]]:
        state = does.state
        if does.op == "same" or state is None or not (state.custom or state.type.startswith(_OURS)):
            return []
        provider = _provider(state.type) if state.type.startswith(_OURS) else None
        if state.type.startswith(_OURS) and provider is None:
            return []  # a component: the report shows its children
        change = self._change(seen, does, state)
        old = does.old
        retained = bool(old and old.raw.get("retainOnDelete"))
        ends = old.outputs.get("validityEndTime") if old else None
        try:
            lines = (
                provider.lines(change)
                if provider
                else foreign.lines(state.type, change, retained=retained, ends=ends)
            )
        except (AttributeError, LookupError, TypeError, ValueError):
            # A host may answer with values of any form. The difference is reported all the same.
            lines = [plain(change, change.name)]
        if is_left:
            lines = [foreign.left(line) for line in lines]
        if state.type.startswith(_PROVIDERS) and change.op in ("create", "delete"):
            # A provider comes and goes with its resources.
            lines = [replace(line, follows=True) for line in lines]
        return [(line, _difference(line, change, urn, provider)) for line in lines]

    def _change(self, seen: _Seen, does: EngineStep, state: State) -> Change:
        before = seen.found.old if seen.found else does.old
        live = seen.found.new if seen.found else does.old
        if does.old and does.op != "create":
            live = does.old
        op: Op = _DOES[does.op]  # type: ignore[assignment]
        goal = does.new if op != "delete" else None
        sides = [dict(side.inputs) if side else {} for side in (before, live, goal)]
        # The owner of a resource is internal. A report does not show it.
        for side in sides:
            side.pop("managed_by", None)
        paths = does.paths
        if paths is None and op in ("update", "replace"):
            paths = _paths(sides[1], sides[2])
        # A certificate becomes due by time, not by hand.
        hand = frozenset(
            path
            for path in (seen.found.paths if seen.found else None) or ()
            if path[:1] != (foreign.RENEWAL,)
        )
        return Change(
            kind=state.type.rpartition(":")[2],
            name=does.urn.rpartition("::")[2],
            op=op,
            before=sides[0],
            live=sides[1],
            goal=sides[2],
            hand=hand,
            up=frozenset(path for path in paths or () if path[:1] != ("managed_by",)),
            host=self._host(state),
            outputs=live.outputs if live else {},
        )

    def _host(self, state: State) -> str:
        """Return the alias of a resource's host, from its inputs, its provider or the component around it."""
        host = state.inputs.get("host")
        if state.type.startswith(_OURS) and isinstance(host, str):
            return host
        # A provider is given as `URN::ID`. Docker's provider has the host `ssh://ALIAS`.
        provider = self._state_of(state.provider.rpartition("::")[0])
        leads = provider.inputs.get("host") if provider else ""
        if isinstance(leads, str) and leads.startswith(_SSH):
            return leads.removeprefix(_SSH)
        above = state.parent
        while above:
            if above.split("::")[2].endswith("HardenedHost"):
                return above.rpartition("::")[2]
            component = self._state_of(above)
            above = component.parent if component else ""
        return ""

    def _state_of(self, urn: str) -> State | None:
        seen = self._seen.get(urn)
        step = seen and (seen.does or seen.found)
        return step.state if step else None

    def report(self, seconds: float = 0.0, errors: Sequence[str] = (), *, failed: bool = True) -> Report:
        """Return the report of all events so far.

        Args:
            seconds: the duration of the run.
            errors: messages from outside the events.
            failed: whether the run failed. If not, the engine's errors count as warnings: it reports an error
                when a plugin exits early, which happens at the end of every run.
        """
        pairs = [pair for urn in list(self._seen) for pair in self.lines_of(urn)]
        shown, follows = _without_repeats(pairs)
        outputs = self._changed_outputs()
        if outputs and not shown:
            shown = [outputs]
        hosts = {
            str(step.state.inputs["host"])
            for seen in self._seen.values()
            for step in (seen.does, seen.found)
            if step and step.state and step.type.startswith(_OURS) and step.state.inputs.get("host")
        }
        messages = [
            replace(one, severity=one.severity if failed else "warning")
            for one in self._messages
            if one.severity in _NOISE and not _NOISE[one.severity].search(one.text)
        ]
        # A line about something that stays says the same as its resource's warning.
        reported = {difference.urn for difference in (*shown, *follows) if difference.stays}
        return Report(
            stack=self.stack,
            hosts=tuple(sorted(hosts)),
            differences=tuple(sorted(shown, key=lambda one: one.order)),
            follows=tuple(sorted(follows, key=lambda one: one.order)),
            errors=_once([one.text for one in messages if one.severity == "error"] or errors)
            if failed
            else (),
            warnings=_once(
                one.text for one in messages if one.severity == "warning" and one.urn not in reported
            ),
            sites=tuple(self._sites()),
            resources=sum(
                bool(step and step.state and step.state.custom)
                for seen in self._seen.values()
                for step in [seen.does or seen.found]
            ),
            seconds=seconds,
        )

    def steps(self) -> list[dict[str, Any]]:
        """Return the steps of all resources, in the format of `pulumi preview --json`."""
        return [
            {
                "op": step.op,
                "urn": step.urn,
                "oldState": step.old.raw if step.old else None,
                "newState": step.new.raw if step.new else None,
            }
            for seen in self._seen.values()
            for step in (seen.found, seen.does)
            if step
        ]

    def _sites(self) -> Iterable[str]:
        """Yield the addresses of the sites, from the resources that check nginx's sites."""
        for seen in self._seen.values():
            state = seen.does.new if seen.does else None
            if state and state.type == _SERVED:
                probes = state.inputs.get("probes") or {}
                for name in state.inputs.get("sites") or {}:
                    scheme = "https" if (probes.get(name) or {}).get("tls") else "http"
                    yield clean(f"{scheme}://{name}")

    def _changed_outputs(self) -> Difference | None:
        """Return a difference if outputs of the stack changed.

        People read the stack's outputs, so `up` must write them.
        """
        if self._written is None:
            return None
        names = [
            key
            for key in sorted({*self._written, *self._outputs})
            if known(self._outputs.get(key)) and self._written.get(key) != self._outputs.get(key)
        ]
        if not names:
            return None
        return Difference(
            "", "outputs", f"{', '.join(names)} differ", "up writes them", "", 9, by_hand=False, mine=True,
            stays=False, urn="", kind="Stack", op="update",
        )  # fmt: skip


def _paths(old: Mapping[str, Any], new: Mapping[str, Any]) -> frozenset[Path]:
    """Return the paths where two states of a resource differ, down to the keys of maps.

    Pulumi's engine does not report these paths for every step.
    """
    found: set[Path] = set()
    for key in {*old, *new}:
        have, want = old.get(key), new.get(key)
        if have == want:
            continue
        if isinstance(have, dict) and isinstance(want, dict):
            found |= {(key, name) for name in {*have, *want} if have.get(name) != want.get(name)}
        else:
            found.add((key,))
    return frozenset(found)


def collect(events: Iterable[Event]) -> Collector:
    """Return a collector with all events of a finished run."""
    collector = Collector()
    for event in events:
        collector.take(event)
    return collector


def _without_repeats(
    pairs: Sequence[tuple[Line, Difference]],
) -> tuple[list[Difference], list[Difference]]:
    """Split the differences into those to show, and those that only follow from a shown difference."""
    topics = {
        (found.host, line.topic, found.by_hand) for line, found in pairs if line.topic and not line.echo
    }
    shown: list[Difference] = []
    follows: list[Difference] = []
    for line, found in pairs:
        # A change in the code must not hide a change by hand.
        is_echo = line.echo and (found.host, line.topic, found.by_hand) in topics
        (follows if line.follows or is_echo else shown).append(found)
    # If no other difference remains, show the differences that only follow.
    return (shown, follows) if shown else (follows, [])


def _difference(line: Line, change: Change, urn: str, provider: Provider | None) -> Difference:
    by_hand, mine = change.by_hand(line.at), change.mine(line.at)
    section = line.section if line.section is not None else provider.section if provider else 9
    return Difference(
        host=change.host,
        subject=clean(line.subject.replace(UNKNOWN, change.name)),
        what=clean(line.what.replace(UNKNOWN, "known after up")),
        remedy=clean(line.remedy) or ("up fixes it" if by_hand else "up changes it"),
        severity=line.severity.value,
        section=int(section),
        by_hand=by_hand,
        mine=mine,
        stays=line.stays,
        urn=urn,
        kind=change.kind,
        op=change.op,
        details=tuple(_details(change, line.at)),
    )


def _details(change: Change, where: Path) -> Iterable[Detail]:
    paths = sorted(path for path in change.up if path[: len(where)] == where or where[: len(path)] == path)
    for path in paths or ([where] if where else []):
        yield Detail(dotted(path), _shown(at(change.live, path)), _shown(at(change.goal, path)))
    if not paths and not where:
        side, other = (change.goal, change.live) if change.goal else (change.live, change.goal)
        for key in sorted(side):
            live, goal = (other.get(key), side[key]) if side is change.goal else (side[key], None)
            yield Detail(key, _shown(live), _shown(goal))


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shown(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shown(item) for item in value]
    return "known after up" if value == UNKNOWN else "a secret" if value == SECRET else value


def dotted(path: Path) -> str:
    """Return a path for people: `keys["evil key"]`, `mounts.0.target`."""
    parts = [step if re.fullmatch(r"[\w-]+", step) else f"[{quoted(step)}]" for step in path]
    return "".join(part if part.startswith("[") else f".{part}" for part in parts).removeprefix(".")


@cache
def _providers() -> Mapping[str, type[Provider]]:
    # The import is slow, and a preview without differences does not need it.
    from portcullis.provider.base import import_kinds, kinds  # noqa: PLC0415

    import_kinds()
    return kinds()


@cache
def _provider(type_: str) -> Provider | None:
    found = _providers().get(type_)
    return found() if found else None


def _once(messages: Iterable[str]) -> tuple[str, ...]:
    """Return each message once.

    If several resources report the same cause on a host, the result is one message about the host.
    """
    by_cause: dict[str, list[str]] = {}
    for message in messages:
        text = tidy(message)
        found = _SUBJECT.match(text)
        by_cause.setdefault(f"{found[1]}: {found[2]}" if found else text, []).append(text)
    texts = [each[0] if len(set(each)) == 1 else cause for cause, each in by_cause.items() if cause]
    # If the settings have faults, other errors may only follow from them.
    settings = [one for one in texts if one.startswith(_SETTINGS)]
    return tuple(settings or texts)


def tidy(message: str) -> str:
    """Return a message of Pulumi's engine in short form: the name of a resource replaces each URN."""
    text = "\n".join(clean(line) for line in message.strip().expandtabs(2).splitlines())
    return _URN.sub(r"\1", _FILLERS.sub("", _LOGGED.sub(r"\1", text))).strip().removeprefix("error: ")


def clean(text: str) -> str:
    """Return a text as one line that is safe to print: it cannot control a terminal or the log of a job."""
    return "".join(letter if letter.isprintable() else MARK for letter in one_line(text))
