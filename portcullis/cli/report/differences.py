"""From the engine's events to what people are told, one difference for each thing. Pure.

Shown is what `up` would change. What a refresh finds beside that is noise of a provider: values that it reads
and nobody declares. By hand is what the host has and the last `up` did not leave there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from portcullis.cli.report import foreign
from portcullis.cli.report.events import EngineStep, Said
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
"""What the engine says each time, or on top of what was said already."""
_FILLERS = re.compile(
    r"^(?:(?:Preview|Update) failed: )?"
    r"(?:(?:refreshing|reading|creating|updating|deleting|replacing) urn:\S+ )?"
    r"(?:\d+ errors? occurred:\s*\* )?"
)
_URN = re.compile(r"urn:pulumi:[^\s'\"]+?::([^\s:'\"]+)(?=[\s'\":,)]|$)")
_SUBJECT = re.compile(r'^([\w.-]+): [A-Z]\w* ".*?"(?: \([^)]*\))?: (.*)$', re.DOTALL)
_SETTINGS = "The settings of this stack have "


@dataclass(frozen=True, slots=True)
class Detail:
    """One property of a difference: where, what is there now, and what `up` makes of it."""

    path: str
    live: Any
    goal: Any


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as declared, in words for people.

    Attributes:
        host: alias of the host, "" for a thing on none.
        subject: the thing by its human name.
        what: what is different.
        remedy: what `up` does about it; it begins with "stays" where it does nothing.
        severity: "!!" opens the host or loses data, "!" does not work as declared, "" is cosmetic.
        section: what it is about, as a number: what lines are sorted by.
        by_hand: somebody changed it on the host.
        mine: the code asks for something else than at the last `up`.
        stays: `up` leaves it as it is.
        urn: the engine's name of the resource; for programs.
        kind: such as `File`.
        op: create, update, replace or delete.
        details: property by property.
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
        """What lines are sorted by: the dangerous ones first."""
        return Severity(self.severity).rank, self.section, self.host, self.subject


@dataclass(frozen=True, slots=True)
class Report:
    """What a run of the engine found.

    Attributes:
        stack: the stack's name.
        hosts: aliases of the hosts that it is about.
        differences: in the order of danger.
        follows: what goes with one of the differences.
        errors: what went wrong, each message once.
        warnings: what program and providers warn of.
        sites: where the hosts' sites are.
        resources: how many it is about.
        seconds: how long it took.
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

    @property
    def ok(self) -> bool:
        """Whether it came to its end."""
        return not self.errors

    @property
    def is_clean(self) -> bool:
        """Whether the hosts are what the code says."""
        return self.ok and not self.differences


@dataclass(slots=True)
class _Seen:
    """What was told of one resource: the refresh, and what `up` does after it."""

    found: EngineStep | None = None
    does: EngineStep | None = None


@dataclass(slots=True)
class Collector:
    """Takes events as they come, and tells at any time what they make up."""

    stack: str = ""
    _seen: dict[str, _Seen] = field(default_factory=dict)
    _said: list[Said] = field(default_factory=list)
    _outputs: dict[str, Any] = field(default_factory=dict)
    _written: dict[str, Any] | None = None

    def take(self, event: Event) -> None:
        """Take the next event."""
        if isinstance(event, Said):
            self._said.append(event)
        else:
            self._take_step(event)

    def _take_step(self, step: EngineStep) -> None:
        # Every resource's name begins with its stack's.
        self.stack = self.stack or step.urn.split("::")[0].rpartition(":")[2]
        if step.type == _STACK:
            if step.op != "refresh" and step.stage == "done":
                if step.old and self._written is None:
                    self._written = dict(step.old.outputs)
                self._outputs = dict(step.new.outputs) if step.new else {}
            return
        seen = self._seen.setdefault(step.urn, _Seen())
        if step.op == "refresh":
            # Before it is done it has read nothing.
            seen.found = step if step.stage == "done" else seen.found
        elif step.op in ("same", *_DOES):
            # Of a replacement the step that has both sides tells most.
            is_half = seen.does and seen.does.op in _REPLACES and not (step.old and step.new)
            seen.does = seen.does if is_half else step

    def lines_of(self, urn: str) -> list[tuple[Line, Difference]]:
        """Return what is to be said of one resource."""
        seen = self._seen.get(urn)
        if not seen or not seen.does or seen.does.op == "same":
            return []
        state = seen.does.state
        if state is None or not (state.custom or state.type.startswith(_OURS)):
            return []
        provider = _provider(state.type) if state.type.startswith(_OURS) else None
        if state.type.startswith(_OURS) and provider is None:
            return []  # a component: its children are told
        change = self._change(seen, seen.does, state)
        old = seen.does.old
        retained = bool(old and old.raw.get("retainOnDelete"))
        ends = old.outputs.get("validityEndTime") if old else None
        try:
            told = (
                provider.lines(change)
                if provider
                else foreign.lines(state.type, change, retained=retained, ends=ends)
            )
        except (AttributeError, LookupError, TypeError, ValueError):
            # What a host answers may have any form. It is told all the same.
            told = [plain(change, change.name)]
        if state.type.startswith(_PROVIDERS) and change.op in ("create", "delete"):
            # It comes and goes with what it provides.
            told = [replace(line, follows=True) for line in told]
        return [(line, _difference(line, change, urn, provider)) for line in told]

    def _change(self, seen: _Seen, does: EngineStep, state: State) -> Change:
        before = seen.found.old if seen.found else does.old
        live = seen.found.new if seen.found else does.old
        if does.old and does.op != "create":
            live = does.old
        op: Op = _DOES[does.op]  # type: ignore[assignment]
        goal = does.new if op != "delete" else None
        sides = [dict(side.inputs) if side else {} for side in (before, live, goal)]
        # Who owns it is ours to know.
        for side in sides:
            side.pop("managed_by", None)
        paths = does.paths
        if paths is None and op in ("update", "replace"):
            paths = _paths(sides[1], sides[2])
        # Time passes by nobody's hand.
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
        )

    def _host(self, state: State) -> str:
        """Return a resource's host: its own word, its provider's name, or the host that it is a part of."""
        host = state.inputs.get("host")
        if state.type.startswith(_OURS) and isinstance(host, str):
            return host
        # urn:…::ID; Docker's provider leads to `ssh://ALIAS`.
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
        """Return what all events make up.

        Args:
            seconds: how long the run took.
            errors: what was said outside of the events.
            failed: it did not come to its end. Else what was said as an error warns only: the engine calls it
                one that a plugin ended before it was asked to, which happens at every end.
        """
        pairs = [pair for urn in list(self._seen) for pair in self.lines_of(urn)]
        told, follows = _told_once(pairs)
        outputs = self._changed_outputs()
        if outputs and not told:
            told = [outputs]
        hosts = {
            str(step.state.inputs["host"])
            for seen in self._seen.values()
            for step in (seen.does, seen.found)
            if step and step.state and step.type.startswith(_OURS) and step.state.inputs.get("host")
        }
        said = [
            replace(one, severity=one.severity if failed else "warning")
            for one in self._said
            if one.severity in _NOISE and not _NOISE[one.severity].search(one.message)
        ]
        spoken = {difference.urn for difference in (*told, *follows) if difference.stays}
        return Report(
            stack=self.stack,
            hosts=tuple(sorted(hosts)),
            differences=tuple(sorted(told, key=lambda one: one.order)),
            follows=tuple(sorted(follows, key=lambda one: one.order)),
            errors=_once([one.message for one in said if one.severity == "error"] or errors)
            if failed
            else (),
            warnings=_once(
                one.message for one in said if one.severity == "warning" and one.urn not in spoken
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
        """Return what each step makes of which resource, in the form of `pulumi preview --json`."""
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
        """Yield where the sites are: as nginx is asked for them, of any program."""
        for seen in self._seen.values():
            state = seen.does.new if seen.does else None
            if state and state.type == _SERVED:
                probes = state.inputs.get("probes") or {}
                for name in state.inputs.get("sites") or {}:
                    scheme = "https" if (probes.get(name) or {}).get("tls") else "http"
                    yield clean(f"{scheme}://{name}")

    def _changed_outputs(self) -> Difference | None:
        """Outputs that differ while no resource does: people read them, so `up` has to write them."""
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
    """Return where two sides differ, down to the keys of maps, where the engine does not say."""
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
    """Take all events of a run that is over."""
    collector = Collector()
    for event in events:
        collector.take(event)
    return collector


def _told_once(pairs: Sequence[tuple[Line, Difference]]) -> tuple[list[Difference], list[Difference]]:
    """Split into what is told, and what goes with something that is."""
    topics = {
        (found.host, line.topic, found.by_hand) for line, found in pairs if line.topic and not line.echo
    }
    told: list[Difference] = []
    follows: list[Difference] = []
    for line, found in pairs:
        # What the code asks for hides nothing that somebody did by hand.
        is_echo = line.echo and (found.host, line.topic, found.by_hand) in topics
        (follows if line.follows or is_echo else told).append(found)
    # What only follows is told where there is nothing that it could follow.
    return (told, follows) if told else (follows, [])


def _difference(line: Line, change: Change, urn: str, provider: Provider | None) -> Difference:
    by_hand, mine = change.by_hand(line.at), change.mine(line.at)
    section = line.section if line.section is not None else provider.section if provider else 9
    return Difference(
        host=change.host,
        subject=clean(line.subject.replace(UNKNOWN, change.name)),
        what=clean(line.what.replace(UNKNOWN, "known after up")),
        remedy=clean(line.remedy) or ("up mends it" if by_hand else "up changes it"),
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
    parts = [step if re.fullmatch(r"[\w-]+", step) else f'["{step}"]' for step in path]
    return ".".join(parts).replace(".[", "[")


@cache
def _providers() -> Mapping[str, type[Provider]]:
    # It takes a while, and a preview that finds nothing needs none of it.
    from portcullis.provider.base import import_kinds, kinds  # noqa: PLC0415

    import_kinds()
    return kinds()


@cache
def _provider(type_: str) -> Provider | None:
    found = _providers().get(type_)
    return found() if found else None


def _once(messages: Iterable[str]) -> tuple[str, ...]:
    """Return each message once. What several resources say about one host is one message, about the host."""
    by_cause: dict[str, list[str]] = {}
    for message in messages:
        told = tidy(message)
        found = _SUBJECT.match(told)
        by_cause.setdefault(f"{found[1]}: {found[2]}" if found else told, []).append(told)
    said = [each[0] if len(set(each)) == 1 else cause for cause, each in by_cause.items() if cause]
    # Nothing else can be told before they are right.
    settings = [one for one in said if one.startswith(_SETTINGS)]
    return tuple(settings or said)


def tidy(message: str) -> str:
    """Return a message of the engine's without its own words around it, and without URNs."""
    text = "\n".join(clean(line) for line in message.strip().expandtabs(2).splitlines())
    return _URN.sub(r"\1", _FILLERS.sub("", text)).strip().removeprefix("error: ")


def clean(text: str) -> str:
    """Return a text as one line that can be printed: nothing in it acts on a terminal or on a job's log."""
    return "".join(letter if letter.isprintable() else MARK for letter in one_line(text))
