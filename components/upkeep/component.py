"""Upkeep of a host over years: disk space, time, swap, and messages about failed units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pulumi
from pulumi import ResourceOptions

from portcullis.components.upkeep import render
from portcullis.resources import Directory, File, Packages, Service

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portcullis.components.upkeep.args import UpkeepArgs
    from portcullis.host import Host

# Before this reload, systemd does not know a new drop-in for all services, or a unit that no resource starts.
_RELOAD = ("systemctl", "daemon-reload")


class Upkeep(pulumi.ComponentResource):
    """A limit for the journal, removal of old images, a correct clock, swap, and messages about failures.

    Example:
        ```python
        from portcullis.components import Upkeep, UpkeepArgs
        from portcullis.host import Connection, Host, write_ssh_config

        key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq"
        write_ssh_config({"web1": Connection(address="203.0.113.10", host_key=key)})
        web1 = Host("web1", os="debian-13")

        Upkeep("web1-upkeep", UpkeepArgs(journal="1G", swap="2G"), host=web1)
        ```
    """

    def __init__(
        self, name: str, args: UpkeepArgs, *, host: Host, opts: ResourceOptions | None = None
    ) -> None:
        """Declare the upkeep.

        Args:
            name: the component's name, such as "web1-upkeep".
            args: limits for disk space, and the command that reports failed units.
            host: the host.
            opts: options of the component. In `depends_on`, list the components that install packages, such
                as `SystemUpdates`. The installation of a package can delete a folder for units that is still
                empty.
        """
        super().__init__("portcullis:index:Upkeep", name, None, opts)
        self._name, self._host = name, host
        self._journal(args.journal)
        if args.image_prune != "never":
            self._prune(args.image_prune)
        if args.time_sync:
            self._time()
        if args.swap != render.NO_SWAP:
            self._swap(args.swap)
        if args.notify:
            self._notify(args.notify)
        self.register_outputs({"journal": args.journal, "swap": args.swap})

    def _journal(self, limit: str) -> None:
        own = f"{self._name}-journald"
        folder = self._folder(f"{own}-folder", render.JOURNALD_FOLDER)
        file = self._file(own, render.JOURNALD_PATH, render.journald_conf(own, limit), after=[folder])
        # A restart keeps the log streams of running services. On Debian's releases, journald has no reload.
        self._service("systemd-journald.service", [file], enabled="static")

    def _prune(self, how_often: str) -> None:
        own = f"{self._name}-image-prune"
        service = self._file(
            f"{own}-service", f"{render.UNITS}/{render.PRUNE}.service", render.prune_service(f"{own}-service")
        )
        timer = self._file(
            f"{own}-timer",
            f"{render.UNITS}/{render.PRUNE}.timer",
            render.prune_timer(f"{own}-timer", how_often),
        )
        self._service(f"{render.PRUNE}.timer", [service, timer])

    def _time(self) -> None:
        packages = Packages(
            f"{self._name}-packages",
            host=self._host,
            names=["systemd-timesyncd"],
            on_delete="purge",
            opts=ResourceOptions(parent=self),
        )
        self._service("systemd-timesyncd.service", [packages])

    def _swap(self, size: str) -> None:
        own = f"{self._name}-swap"
        unit = self._file(own, f"{render.UNITS}/{render.SWAP}.service", render.swap_service(own, size))
        self._service(f"{render.SWAP}.service", [unit])

    def _notify(self, command: Sequence[str]) -> None:
        own = f"{self._name}-notify"
        notifier = self._file(
            own, f"{render.UNITS}/{render.NOTIFY}.service", render.notify_service(own, command), test=_RELOAD
        )
        # This exception comes before the rule for all services, because the rule applies to the notifier,
        # too.
        without = f"{own}-not-itself"
        exception = self._file(
            without,
            render.NO_FAILURE_PATH,
            render.no_failure_dropin(without),
            after=[notifier, self._folder(f"{without}-folder", render.NO_FAILURE_FOLDER)],
        )
        rule = f"{own}-rule"
        self._file(
            rule,
            render.FAILURE_PATH,
            render.failure_dropin(rule),
            after=[exception, self._folder(f"{rule}-folder", render.FAILURE_FOLDER)],
            test=_RELOAD,
        )

    def _folder(self, name: str, path: str) -> Directory:
        return Directory(
            name,
            host=self._host,
            path=path,
            opts=ResourceOptions(parent=self),
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
            host=self._host,
            path=path,
            content=content,
            test=test,
            opts=ResourceOptions(parent=self, depends_on=list(after)),
        )

    def _service(
        self,
        unit: str,
        reads: Sequence[File | Packages],
        enabled: Literal["enabled", "static"] = "enabled",
    ) -> None:
        Service(
            f"{self._name}-{unit}",
            host=self._host,
            unit=unit,
            enabled=enabled,
            reads=reads,
            on_change="restart",
            opts=ResourceOptions(parent=self, depends_on=list(reads)),
        )
