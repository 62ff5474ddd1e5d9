"""What keeps a host going for years: room, time, swap, and somebody who hears of what failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import pulumi
from pulumi import ResourceOptions

from portcullis.components.upkeep import render as units
from portcullis.components.upkeep.args import Prune, Size, Swap
from portcullis.config.arguments import validate
from portcullis.config.faults import Fault
from portcullis.config.forms import Alias, Argument, Os, is_program
from portcullis.config.kinds import ListOf
from portcullis.resources import Directory, File, Packages, Service

if TYPE_CHECKING:
    from collections.abc import Sequence

NO_SWAP = "none"
# A unit that nobody starts by name, and a drop-in for all services, are known to systemd after this only.
_RELOAD = ("systemctl", "daemon-reload")


@dataclass(frozen=True, slots=True)
class UpkeepArgs:
    """How much room things take, and who hears of failures.

    Attributes:
        host: alias of the host.
        os: its operating system.
        journal: what the journal may take, such as "500M".
        image_prune: how often container images that nothing uses are removed. Volumes never are.
        time_sync: keep the clock right with systemd-timesyncd. False for a host that is itself a container,
            whose clock is not its own, and where another program does it.
        swap: size of a swap file, such as "2G", or "none".
        notify: command on the host that is told of each service that failed; it gets the unit's name as its
            last word. Everybody on the host can read it: a secret belongs in a file of root's that it reads.
        after: what has to be there before: packages whose installation takes empty folders of units away, as
            that of unattended-upgrades does.
        adopt: replace files that are there and differ.

    Raises:
        ValueError: naming every attribute that cannot be used.
    """

    host: str
    os: str
    journal: str = "500M"
    image_prune: Literal["daily", "weekly", "monthly", "never"] = "weekly"
    time_sync: bool = True
    swap: str = NO_SWAP
    notify: tuple[str, ...] | None = None
    after: Sequence[pulumi.Resource] = ()
    adopt: bool = False

    def __post_init__(self) -> None:
        """Check what would otherwise fail on the host."""
        validate(
            self,
            {
                "host": Alias,
                "os": Os,
                "journal": Size,
                "image_prune": Prune,
                "swap": Swap,
                "notify": ListOf[Argument],
            },
        )
        if self.notify is not None and not (self.notify and is_program(self.notify[0])):
            fault = "begins with no program by its whole path"
            raise ValueError(str(Fault("UpkeepArgs.notify", fault, "write /usr/local/bin/…")))


class Upkeep(pulumi.ComponentResource):
    """A journal with a limit, no old images, a clock that is right, swap if asked for, failures told of.

    Attributes:
        ready: what has to be waited for.
    """

    ready: list[pulumi.Resource]

    def __init__(self, name: str, args: UpkeepArgs, opts: ResourceOptions | None = None) -> None:
        """Declare it under `name`, such as "web1-upkeep"."""
        super().__init__("portcullis:index:Upkeep", name, None, opts)
        self._name, self._args = name, args
        self.ready = [self._journal()]
        if args.image_prune != "never":
            self.ready.append(self._prune())
        if args.time_sync:
            self.ready.append(self._time())
        if args.swap != NO_SWAP:
            self.ready.append(self._swap())
        if args.notify:
            self.ready += self._notify(args.notify)
        self.register_outputs({"journal": args.journal, "swap": args.swap})

    def _journal(self) -> Service:
        own = f"{self._name}-journald"
        folder = self._folder(f"{own}-folder", units.JOURNALD_FOLDER)
        limit = self._file(
            own, units.JOURNALD_PATH, units.journald_conf(own, self._args.journal), after=[folder]
        )
        # Streams of services that run are kept over its restart; it has no reload in Debian's releases.
        return self._service("systemd-journald.service", [limit], enabled="static")

    def _prune(self) -> Service:
        own = f"{self._name}-image-prune"
        service = self._file(
            f"{own}-service", f"{units.UNITS}/{units.PRUNE}.service", units.prune_service(f"{own}-service")
        )
        timer = self._file(
            f"{own}-timer",
            f"{units.UNITS}/{units.PRUNE}.timer",
            units.prune_timer(f"{own}-timer", self._args.image_prune),
        )
        return self._service(f"{units.PRUNE}.timer", [service, timer])

    def _time(self) -> Service:
        packages = Packages(
            f"{self._name}-packages",
            host=self._args.host,
            names=["systemd-timesyncd"],
            on_delete="purge",
            adopt=self._args.adopt,
            opts=ResourceOptions(parent=self),
        )
        return self._service("systemd-timesyncd.service", [packages])

    def _swap(self) -> Service:
        own = f"{self._name}-swap"
        unit = self._file(
            own, f"{units.UNITS}/{units.SWAP}.service", units.swap_service(own, self._args.swap)
        )
        return self._service(f"{units.SWAP}.service", [unit])

    def _notify(self, command: tuple[str, ...]) -> list[pulumi.Resource]:
        own = f"{self._name}-notify"
        teller = self._file(
            own, f"{units.UNITS}/{units.NOTIFY}.service", units.notify_service(own, command), test=_RELOAD
        )
        # Before the rule for all services, which counts for the teller as well.
        without = f"{own}-not-itself"
        exception = self._file(
            without,
            units.NO_FAILURE_PATH,
            units.no_failure_dropin(without),
            after=[teller, self._folder(f"{without}-folder", units.NO_FAILURE_FOLDER)],
        )
        rule = f"{own}-rule"
        everything = self._file(
            rule,
            units.FAILURE_PATH,
            units.failure_dropin(rule),
            after=[exception, self._folder(f"{rule}-folder", units.FAILURE_FOLDER)],
            test=_RELOAD,
        )
        return [everything]

    def _folder(self, name: str, path: str) -> Directory:
        return Directory(
            name,
            host=self._args.host,
            path=path,
            adopt=self._args.adopt,
            opts=ResourceOptions(parent=self, depends_on=list(self._args.after)),
        )

    def _file(
        self,
        name: str,
        path: str,
        content: str,
        *,
        after: Sequence[pulumi.Resource] = (),
        test: Sequence[str] | None = None,
    ) -> File:
        return File(
            name,
            host=self._args.host,
            path=path,
            content=content,
            test=test,
            adopt=self._args.adopt,
            opts=ResourceOptions(parent=self, depends_on=list(after)),
        )

    def _service(
        self,
        unit: str,
        reads: Sequence[File | Packages],
        enabled: Literal["enabled", "static"] = "enabled",
    ) -> Service:
        return Service(
            f"{self._name}-{unit}",
            host=self._args.host,
            unit=unit,
            enabled=enabled,
            reads=reads,
            on_change="restart",
            adopt=self._args.adopt,
            opts=ResourceOptions(parent=self, depends_on=list(reads)),
        )
