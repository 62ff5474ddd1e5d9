"""A systemd unit on a host: whether it runs, starts at boot, and has loaded its present files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from portcullis.host.provider import ABSENT, HostProvider, Normaliser
from portcullis.host.resource import HostResource
from portcullis.provider.changes import Line, Severity, with_rest
from portcullis.resources.directory.resource import Directory
from portcullis.resources.packages.resource import Packages
from portcullis.resources.service.facts import NAME, ServiceDesired, ServiceFacts

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pulumi

    from portcullis.host.host import Host
    from portcullis.provider.base import Props
    from portcullis.provider.changes import Change
    from portcullis.resources.file.resource import File
    from portcullis.resources.tree.resource import Tree

_TYPES = (".service", ".socket", ".timer", ".path", ".mount", ".target")

_CHANGES = {"reload": "reloads", "restart": "restarts"}


class ServiceProvider(HostProvider):
    """Provider of `Service`."""

    kind = "service"
    desired_type = ServiceDesired
    facts_type = ServiceFacts
    live = ("active", "enabled", "stale")
    identity = ("host", "unit")

    def normalise(self, inputs: Normaliser) -> None:
        """Check the unit's name and states."""
        unit = inputs.text("unit")
        if unit is not None and not (NAME.match(unit) and unit.endswith(_TYPES)):
            inputs.fail("unit", f"{unit!r} is not the full name of a unit, such as nginx.service")
        inputs.one_of("active", "active", "inactive")
        inputs.one_of("enabled", "enabled", "disabled", "masked", "static")
        inputs.one_of("on_change", "reload", "restart")
        inputs.keep("reads")
        # `read` returns True here when a file in `reads` changed after the unit last loaded it.
        inputs.inputs["stale"] = False
        if inputs.news.get("active") == "active" and inputs.news.get("enabled") == "masked":
            inputs.fail("enabled", "a masked unit cannot be active; set active to inactive")

    def importable(self, item: str) -> Props | None:
        """Return the name of the imported unit, and the defaults of inputs that the host does not know.

        The unit's files are unknown.
        """
        return {"unit": item, "reads": {}, "on_change": "reload"}

    def absent_inputs(self) -> Props:
        """Return the inputs that show a unit that systemd does not have."""
        return {"active": ABSENT, "stale": False}

    def differing(self, change: Change, subject: str) -> list[Line]:
        """Return lines about the unit's state.

        The line about a unit with stale files is omitted if there is another line, such as one about the
        changed file.
        """
        found = []
        combined: tuple[str, ...] = ()
        if change.changes("active"):
            active = change.live.get("active")
            what = {"inactive": "stopped", "active": "running"}.get(str(active), str(active))
            remedy = "up starts it" if change.goal.get("active") == "active" else "up stops it"
            found.append(Line(subject, what, remedy, Severity.WRONG, at=("active",)))
        if change.changes("enabled"):
            what = f"{change.live.get('enabled')} at boot, declared {change.goal.get('enabled')}"
            line = Line(subject, what, "", Severity.WRONG, at=("enabled",))
            # One command can both stop a unit and mask or disable it.
            if found and change.by_hand(("active",)) == change.by_hand(line.at):
                line = replace(line, what=f"{found.pop().what}, and {what}", at=())
                combined = ("active", "enabled")
            found.append(line)
        if change.changes("stale"):
            what, remedy = (
                "runs on older files than those on the host",
                f"up {_CHANGES.get(change.goal.get('on_change', ''), 'reloads')} it",
            )
            found.append(Line(subject, what, remedy, Severity.WRONG, at=("stale",), follows=True))
        # `reads` changes together with the files, which have lines of their own.
        return with_rest(change, subject, found, "reads", *combined)


class Service(HostResource):
    """A systemd unit on a host.

    If a file that the unit reads changes, the unit loads it again. The unit is reloaded or restarted in two
    cases: a resource in `reads` writes its file, or a file is newer than the running process.
    """

    unit: pulumi.Output[str]
    active: pulumi.Output[str]
    enabled: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        host: Host | str,
        unit: str,
        active: Literal["active", "inactive"] = "active",
        enabled: Literal["enabled", "disabled", "masked", "static"] = "enabled",
        reads: Sequence[File | Tree | Directory | Packages | str] = (),
        on_change: Literal["reload", "restart"] = "reload",
        adopt: bool | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the unit.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            unit: full name, such as "nginx.service".
            active: whether the unit runs.
            enabled: whether the unit starts at boot; masked means that nothing can start the unit. A unit
                without an [Install] section, such as systemd-journald.service, can only be static: other
                units start it.
            reads: the files that the unit reads. An entry is a resource that writes a file, or the path of a
                file or folder that the Pulumi program does not write. `up` applies such a resource before the
                unit. A path does not change the order in which `up` applies resources.
            on_change: how the unit loads changed files. A unit that cannot reload is restarted.
            adopt: take over a unit that somebody masked.
            opts: resource options.
        """
        super().__init__(
            ServiceProvider,
            name,
            host=host,
            adopt=adopt,
            inputs={
                "unit": unit,
                "active": active,
                "enabled": enabled,
                "reads": dict(what_is_read(thing) for thing in reads),
                "on_change": on_change,
                "stale": False,
            },
            outputs=(),
            opts=opts,
        )


def what_is_read(thing: File | Tree | Directory | Packages | str) -> tuple[str, pulumi.Input[str]]:
    """Return the name of an entry of `reads`, and a value that changes when `up` writes the entry."""
    if isinstance(thing, str):
        return thing, ""
    if isinstance(thing, Packages):
        return "packages " + " ".join(sorted(thing.names)), thing.revision
    if isinstance(thing, Directory):
        # A folder has no content of its own to load. The path of the folder is watched.
        return thing.path_text, thing.path.apply(lambda _: "")
    return thing.path_text, thing.revision
