"""The operations that a client can ask for.

These operations create, change and remove resources of every kind.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from portcullis.agent.errors import AgentError
from portcullis.agent.guard import Change, Guards
from portcullis.agent.guarded import Guarded, Undo
from portcullis.agent.kind import Kind, Work
from portcullis.agent.kinds import Kinds
from portcullis.agent.lock import DeployLock
from portcullis.agent.step import WARN
from portcullis.agent.store import Record, Store, revision
from portcullis.agent.wire import Facts, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from portcullis.agent.machine import Machine
    from portcullis.agent.step import Json, Step
    from portcullis.resources.tree.on_host import Trees

ADOPT = (
    "set adopt=True (in the settings: adopt: true) to replace the present state; the host "
    "restores that state when the resource is deleted"
)
FORMER_KINDS = {"containers.cpus"}
"""Kinds of earlier versions that changed nothing on the host. Nothing else would drop their records."""
_CHANGED_BY_ANOTHER = "another program on the host may be changing it"
_WRITTEN_MEANWHILE = (
    "a file that the service reads changed meanwhile; if a resource of this program writes that file, list "
    "that resource in reads, so that the file is written first; otherwise run again"
)


class Operations:
    """The operations of one session. Each public method is an ``op``: a request in, a result out."""

    def __init__(self, machine: Machine, prepare: Callable[[Machine], None] | None = None) -> None:
        """Create the object without a change to the host.

        `prepare` is called before the first change.
        """
        self._machine, self._prepare_once = machine, prepare
        self._store = Store(machine.state)
        self._lock = DeployLock(machine.lock)
        self._guards = Guards(machine)
        self._recovered = False
        self._kinds = Kinds(machine, self._store)
        self._claims: dict[tuple[str, str], str] = {}
        self._busy: dict[tuple[str, str], threading.Lock] = {}
        self._guard = threading.Lock()

    def close(self) -> None:
        """End the session and release the lock, so that others may deploy."""
        self._lock.release()

    def do(self, request: Json) -> Json:
        """Carry out one request. Raises `AgentError`."""
        op = {
            "hello": self.hello,
            "survey": self.survey,
            "plan": self.plan,
            "put": self.put,
            "remove": self.remove,
            "tree-missing": self.tree_missing,
            "blob": self.blob,
            "confirm": self.confirm,
            "rollback": self.rollback,
            "armed": self.armed,
        }.get(str(request.get("op")))
        if op is None:
            raise AgentError(
                "invalid",
                f"the request has the operation {request.get('op')!r}, which this version of the agent does "
                "not know",
            )
        return op(request)

    def hello(self, request: Json) -> Json:
        """Return the version of the agent and facts about its host."""
        return {"agent": "1", **host_facts()}

    def survey(self, request: Json) -> Json:
        """Return the facts of the requested resources and, unless ``index`` is false, of the whole stack."""
        stack = str(request.get("stack", ""))
        records = {(r.kind, r.id): r for r in self._store.all() if self._kinds.known(r.kind)}
        wanted: dict[tuple[str, str], Json] = {}
        if request.get("index", True):
            wanted = {key: record.spec for key, record in records.items() if record.stack == stack}
        for item in request.get("items", []):
            wanted[str(item["kind"]), str(item["id"])] = item["spec"]
        items: list[Json] = []
        for kind in sorted({kind for kind, _ in wanted}):
            keys = [key for key in wanted if key[0] == kind]
            answers = read(self._kind(kind), [(wanted[key], records.get(key)) for key in keys])
            for (_, item_id), answer in zip(keys, answers, strict=True):
                item = {"kind": kind, "id": item_id, "spec": wanted[kind, item_id]}
                if isinstance(answer, AgentError):
                    items.append({**item, "error": answer.as_json()})
                else:
                    items.append({**item, "facts": public(self._kind(kind), answer)})
        return {"items": items, "host": host_facts()}

    def plan(self, request: Json) -> Json:
        """Return the steps that `put` would take, and the reason for a refusal.

        `plan` changes nothing on the host.
        """
        kind, item, desired = self._thing(request)
        record = self._store.load(kind, item)
        facts = self._facts(kind, self._spec(request), record)
        planned = self._kind(kind).plan(desired, facts)
        steps = [step for step in planned if step.action != WARN]
        refusal = self._refusal(request, record, facts, steps) or self._cut_off(request, facts, steps)
        return {
            "steps": [step.as_json() for step in planned],
            "facts": public(self._kind(kind), facts),
            "refusal": refusal.as_json() if refusal else None,
        }

    def put(self, request: Json) -> Json:
        """Bring one resource to its declared state, and check it: a new plan must have no steps."""
        kind, item, desired = self._thing(request)
        owner = str(request["owner"])
        with self._alone(kind, item):
            self._claim(kind, item, owner)
            self._begin(request)
            self._prepare()
            spec = self._spec(request)
            former = self._former(request)
            record = self._store.load(kind, item) or self._moved(request, former)
            facts = self._facts(kind, spec, record)
            planned = self._kind(kind).plan(desired, facts)
            # Steps that only report change nothing: they need no refusal, no guard, no new revision.
            steps = [step for step in planned if step.action != WARN]
            refusal = self._refusal(request, record, facts, steps)
            refusal = refusal or self._cut_off(request, facts, steps)
            if refusal:
                raise refusal
            result: Json = {"steps": [step.as_json() for step in planned]}
            with self._guarded(self._change(request, facts, steps, known=record is not None)) as guard:
                result["facts"] = public(self._kind(kind), self._change_it(request, record, facts, steps))
            old = self._store.load(kind, former) if former else None
            if old is not None and old.stack == request["stack"]:
                self._store.drop(old)
            return {**result, "guard": guard} if guard else result

    def _change_it(self, request: Json, record: Record | None, facts: Any, steps: list[Step]) -> Any:
        """Record the resource, apply `steps`, and return the facts afterwards."""
        kind, item, desired = self._thing(request)
        spec, known = self._spec(request), record is not None
        record = self._register(request, record, spec, facts, written=bool(steps))
        self._kind(kind).accept(desired, facts, record)
        work = Work(
            record,
            self._store.folder(kind, item),
            bool(request.get("adopt")),
            lambda: self._store.save(record),
        )
        try:
            self._kind(kind).apply(desired, steps, work)
        except AgentError:
            self._abandon(record, facts, known=known)
            raise
        record.pending = False
        record.extra.pop("former", None)
        self._store.save(record)
        after = self._facts(kind, spec, record)
        self._assert_done(desired, kind, after)
        return after

    def remove(self, request: Json) -> Json:
        """Remove one resource from the host, if `owner` still owns it."""
        kind, item, desired = self._thing(request)
        with self._alone(kind, item):
            self._begin(request)
            record = self._store.load(kind, item)
            if record is None:
                self._store.tidy()
                return {"done": "absent"}
            if record.owner != request["owner"] or record.stack != request["stack"]:
                return {"done": "not-owner"}
            try:
                self._kind(kind).as_spec(record.spec)
            except AgentError:  # another version wrote the record: use the spec from the stack's state
                record.spec = self._spec(request)
            with self._guarded(self._removal(request, record)) as guard:
                done = self._kind(kind).remove(desired, record, self._store.folder(kind, item))
            if guard:
                return {"done": done, "guard": guard}  # the record is dropped when the change is confirmed
            if kind in ("file", "tree"):
                self._reload_readers(record)
            self._store.drop(record)
            return {"done": done}

    def confirm(self, request: Json) -> Json:
        """Confirm a change, so that the host keeps it.

        The client sends this request over a new connection, which proves that a login works.
        """
        self._guards.confirm(str(request["guard"]))
        return {}

    def rollback(self, request: Json) -> Json:
        """Undo a change at once.

        If the change was confirmed before, the answer says so in ``confirmed``, because the client may have
        missed the confirmation.
        """
        number = str(request["guard"])
        done = self._guards.restore(number)
        confirmed = done is None and self._guards.was_confirmed(number)
        return {"confirmed": confirmed, "failed": done["failed"] if done else []}

    def armed(self, request: Json) -> Json:
        """Return whether a change still waits for its confirmation.

        If the request has an `attempt`, also return the failures of the change's undo.
        """
        if "attempt" in request:
            return self._guards.outcome(str(request["attempt"]))
        return {"armed": str(request["guard"]) in self._guards.pending()}

    def tree_missing(self, request: Json) -> Json:
        """Return which contents of a tree the host does not have yet."""
        return {"missing": self._trees().missing(str(request["path"]), request["files"])}

    def blob(self, request: Json) -> Json:
        """Store a piece of a file that the next `put` of a tree uses."""
        self._begin(request)
        path = str(request["path"])
        with self._alone("tree", path):
            self._trees().stage(path, str(request["sha"]), request["data"], last=bool(request["last"]))
        return {}

    def _begin(self, request: Json) -> None:
        """Take the deployment's lock, then undo the unconfirmed changes of deployments that have ended."""
        self._lock.take(str(request.get("who", "")), str(request.get("stack", "")))
        with self._guard:
            if not self._recovered:
                self._guards.recover()
                self._guards.forget_outcomes(str(request.get("who", "")))
                for record in self._store.all():
                    if record.kind in FORMER_KINDS:
                        self._store.drop(record)
            self._recovered = True

    def _prepare(self) -> None:
        """Call `prepare` before the first change of the session.

        Other requests wait until `prepare` has finished.
        """
        with self._guard:
            if self._prepare_once is not None:
                self._prepare_once(self._machine)
                self._prepare_once = None

    def _cut_off(self, request: Json, facts: Any, steps: list[Step]) -> AgentError | None:
        """Return the error if the kind foresees that the host would refuse this session after the change."""
        kind = self._kind(str(request["kind"]))
        if not steps or not isinstance(kind, Guarded):
            return None
        return kind.preflight(kind.as_desired(request["desired"]), facts, steps, self._machine.peer)

    def _change(self, request: Json, facts: Any, steps: list[Step], *, known: bool) -> Change | None:
        name, item, desired = self._thing(request)
        kind = self._kind(name)
        undo = kind.undo(desired, facts, steps) if steps and isinstance(kind, Guarded) else None
        if undo is None or "guard" not in request:
            return None
        if known:
            paths = (*undo.paths, str(self._store.folder(name, item) / "record.json"))
            undo = Undo(paths, undo.commands)
        what = resource(str(request["owner"]))
        dropped = [] if known else [name, item]
        return Change(what, undo, float(request["guard"]), *_asker(request), drop_on_restore=dropped)

    def _removal(self, request: Json, record: Record) -> Change | None:
        kind = self._kind(record.kind)
        if "guard" not in request or not isinstance(kind, Guarded):
            return None
        facts = self._facts(record.kind, record.spec, record)
        undo = kind.undo_removal(kind.as_desired(request["desired"]), record, facts)
        if undo is None:
            return None
        what = f"removal of {resource(record.owner)}"
        drop = [record.kind, record.id]
        return Change(what, undo, float(request["guard"]), *_asker(request), drop_on_confirm=drop)

    def _guarded(self, change: Change | None) -> contextlib.AbstractContextManager[str]:
        return self._guards.armed(change) if change else contextlib.nullcontext("")

    def _reload_readers(self, gone: Record) -> None:
        """Reload the services that read the folder of a removed file.

        Pulumi deletes resources at the end of a deployment, after the services were reloaded. Without this
        second reload, nginx would serve a removed site until its next reload.
        """
        for known in self._store.all():
            folders = known.spec.get("reads") or []
            if known.kind != "service" or known.stack != gone.stack or "desired" not in known.extra:
                continue
            if not any(Path(gone.id).is_relative_to(folder) for folder in folders):
                continue
            with self._alone("service", known.id):
                service = self._store.load("service", known.id)
                if service is None:
                    continue
                desired = self._kind("service").as_desired(service.extra["desired"])
                steps = self._kind("service").plan(desired, self._facts("service", service.spec, service))
                if any(step.prop == "stale" for step in steps):
                    folder = self._store.folder("service", service.id)
                    work = Work(service, folder, adopt=False, save=lambda: None)
                    self._kind("service").apply(desired, steps, work)
                    self._store.save(service)

    def _former(self, request: Json) -> str:
        """Return the resource's former name, unless another resource of this deployment has that name now."""
        kind, former = str(request["kind"]), str(request.get("former") or "")
        return "" if former == request["item"] or (kind, former) in self._claims else former

    def _moved(self, request: Json, former: str) -> Record | None:
        """Return the record under a resource's former name. A set of packages is named after its owner."""
        old = self._store.load(str(request["kind"]), former) if former else None
        if old is None or old.stack != request["stack"]:
            return None
        return dataclasses.replace(old, id=str(request["item"]))

    def _thing(self, request: Json) -> tuple[str, str, Any]:
        kind = str(request["kind"])
        return kind, str(request["item"]), self._kind(kind).as_desired(request["desired"])

    def _kind(self, kind: str) -> Kind[Any, Any, Any]:
        return self._kinds[kind]

    def _trees(self) -> Trees:
        return cast("Trees", self._kind("tree"))

    def _spec(self, request: Json) -> Json:
        spec: Json | None = request.get("spec")
        if spec is None:
            _, _, wanted = self._thing(request)
            spec = encode(wanted.spec())
        return spec

    def _facts(self, kind: str, spec: Json, record: Record | None) -> Any:
        answer = read(self._kind(kind), [(spec, record)])[0]
        if isinstance(answer, AgentError):
            raise answer
        return answer

    def _alone(self, kind: str, item: str) -> threading.Lock:
        with self._guard:
            return self._busy.setdefault((kind, item), threading.Lock())

    def _claim(self, kind: str, item: str, owner: str) -> None:
        first = self._claims.setdefault((kind, item), owner)
        if first != owner:
            raise AgentError(
                "conflict",
                f"{item} is declared twice in this deployment: by {resource(first)} and by {resource(owner)}",
                hint="declare it once",
            )

    def _refusal(
        self, request: Json, record: Record | None, facts: Any, steps: list[Step]
    ) -> AgentError | None:
        kind, item, desired = self._thing(request)
        handler, adopt = self._kind(kind), bool(request.get("adopt"))
        obstacle = handler.obstacle(desired, facts)
        if obstacle:
            return obstacle
        if record is not None:
            if record.stack == request["stack"] or adopt:
                return None
            return AgentError(
                "owned",
                f"{item} belongs to the stack {record.stack} ({resource(record.owner)})",
                hint=f"remove {item} from that stack first, or set adopt=True (in the settings: adopt: true) "
                "to take it over",
            )
        if adopt or not steps or not facts.exists or handler.is_unmodified_default(item, facts):
            return None
        first = steps[0]
        return AgentError(
            "differs",
            f"{first.prop} differs from what is on the host ({first.have}; declared: {first.want})",
            prop=first.prop,
            hint=handler.keep_instead(item) + ADOPT,
            detail=first.detail,
        )

    def _register(
        self, request: Json, record: Record | None, spec: Json, facts: Any, *, written: bool
    ) -> Record:
        """Record the resource and its original state, before anything changes."""
        kind, item, stack, owner = request["kind"], request["item"], request["stack"], request["owner"]
        folder = self._store.make_folder(kind, item)
        if record is None:
            original = self._kind(kind).original(item, facts, folder)
            record = Record(kind, item, stack, owner, spec, revision(), original, pending=written)
        else:
            if record.owner != owner:
                record.extra["former"] = record.owner
            record.stack, record.owner = stack, owner
            # An interrupted change may have happened. The new revision makes dependent resources check again.
            if written or record.pending:
                record.revision = revision()
            record.pending = written
        record.spec = spec
        self._store.save(record)
        return record

    def _abandon(self, record: Record, before: Any, *, known: bool) -> None:
        """After a failure, drop the record of a resource that is as it was before we first touched it."""
        record.pending = False
        try:
            kind = self._kind(record.kind)
            untouched = not known and public(kind, self._facts(record.kind, record.spec, None)) == public(
                kind, before
            )
        except AgentError:
            untouched = False
        if untouched:
            self._store.drop(record)
        else:
            self._store.save(record)

    def _assert_done(self, desired: Any, kind: str, after: Any) -> None:
        left = [step for step in self._kind(kind).plan(desired, after) if step.action != WARN]
        if left:
            raise AgentError(
                "not-converged",
                f"the property {left[0].prop} is still {left[0].have} after the change, not {left[0].want}",
                prop=left[0].prop,
                hint=_WRITTEN_MEANWHILE
                if left[0].prop == "stale" and hasattr(desired, "reads")
                else _CHANGED_BY_ANOTHER,
                detail=left[0].detail,
            )


def read(kind: Kind[Any, Any, Any], questions: Sequence[tuple[Json, Record | None]]) -> list[Any]:
    """Return the present facts for specs, which come from a request or from records.

    A spec that cannot be read, such as one of another version, gives an error for that resource alone.
    """
    asked: list[tuple[Any, Record | None]] = []
    answers: dict[int, Any] = {}
    for at, (spec, record) in enumerate(questions):
        try:
            asked.append((kind.as_spec(spec), record))
        except AgentError as error:
            answers[at] = error
    found = iter(kind.facts(asked) if asked else ())
    for at, (_, record) in enumerate(questions):
        if at in answers:
            continue
        answer = next(found)
        if not isinstance(answer, AgentError) and answer.exists and record is not None:
            answer = dataclasses.replace(answer, revision=record.revision)
        answers[at] = answer
    return [answers[at] for at in range(len(questions))]


def public(kind: Kind[Any, Any, Any], facts: Facts) -> Json:
    """Return the facts for the client, without the fields that a kind needs only for its plan."""
    sent: Json = encode(facts, kind.facts_type)
    return sent


def _asker(request: Json) -> tuple[str, str]:
    """Return the client's id for its change, and the name of the client."""
    return str(request.get("attempt", "")), str(request.get("who", ""))


def resource(owner: str) -> str:
    """Return the name of an owner for people: the type and name at the end of its URN."""
    kind_and_name = owner.split("::")[-2:]
    if len(kind_and_name) < 2:  # noqa: PLR2004 - not a URN
        return owner
    return f'{kind_and_name[0].rpartition(":")[2]} "{kind_and_name[1]}"'


def host_facts() -> dict[str, str]:
    """Return operating system, kernel, Python version and name of the host."""
    system = os.uname()
    return {
        "os": os_name(_read_lines("/etc/os-release")),
        "kernel": system.release,
        "python": sys.version.split()[0],
        "hostname": system.nodename,
    }


def os_name(lines: Iterable[str]) -> str:
    """Return ``debian-13`` or ``ubuntu-24.04`` from os-release(5); a code name replaces a missing number."""
    known: dict[str, Any] = {}
    for line in lines:
        key, _, value = line.strip().partition("=")
        known[key] = value.strip("\"'")
    return (
        f"{known.get('ID', 'unknown')}-{known.get('VERSION_ID') or known.get('VERSION_CODENAME', 'unknown')}"
    )


def _read_lines(path: str) -> list[str]:
    try:
        return Path(path).read_text("utf-8").splitlines()
    except OSError:
        return []
