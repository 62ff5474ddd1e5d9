"""Security upgrades that install themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pulumi
from pulumi import ResourceOptions

from portcullis.components.updates import render as updates
from portcullis.components.updates.args import DockerRule, Reboot
from portcullis.config.arguments import validate
from portcullis.config.forms import Alias, Os
from portcullis.resources import Directory, File, Packages, Service


@dataclass(frozen=True, slots=True)
class SystemUpdatesArgs:
    """When a host upgrades itself, and what it leaves out.

    Attributes:
        host: alias of the host.
        os: its operating system, which decides where security updates come from.
        reboot: time of day, such as "04:00", at which it may reboot for a new kernel; "never" for not at all.
        docker: whether Docker is upgraded with the rest, or left for people to upgrade ("hold").
        adopt: replace files that are there and differ.

    Raises:
        ValueError: naming every attribute that cannot be used.
    """

    host: str
    os: str
    reboot: str = "04:00"
    docker: Literal["hold", "upgrade"] = "upgrade"
    adopt: bool = False

    def __post_init__(self) -> None:
        """Check what would otherwise fail on the host."""
        validate(self, {"host": Alias, "os": Os, "reboot": Reboot, "docker": DockerRule})


class SystemUpdates(pulumi.ComponentResource):
    """Security updates every day, services restarted on them, and a reboot at night when a kernel needs it.

    Attributes:
        ready: what has to be waited for.
    """

    ready: list[pulumi.Resource]

    def __init__(self, name: str, args: SystemUpdatesArgs, opts: ResourceOptions | None = None) -> None:
        """Declare them under `name`, such as "web1-updates"."""
        super().__init__("portcullis:index:SystemUpdates", name, None, opts)
        host, adopt = args.host, args.adopt
        packages = Packages(
            f"{name}-packages",
            host=host,
            names=["needrestart", "unattended-upgrades"],
            on_delete="purge",
            opts=ResourceOptions(parent=self),
        )
        after = ResourceOptions(parent=self, depends_on=[packages])
        apt = File(
            f"{name}-apt",
            host=host,
            path=updates.APT_PATH,
            content=updates.apt_conf(f"{name}-apt", args.os, args.reboot, args.docker),
            # A broken file would stop every use of apt.
            test=["apt-config", "dump"],
            adopt=adopt,
            opts=after,
        )
        needrestart = File(
            f"{name}-needrestart",
            host=host,
            path=updates.NEEDRESTART_PATH,
            content=updates.needrestart_conf(f"{name}-needrestart"),
            validate=["perl", "-c", "{path}"],
            adopt=adopt,
            opts=after,
        )
        timer = []
        if args.reboot != updates.NEVER:
            folder = Directory(
                f"{name}-timer-folder",
                host=host,
                path=updates.TIMER_FOLDER,
                adopt=adopt,
                # Installing unattended-upgrades takes empty folders of units away.
                opts=after,
            )
            timer = [
                File(
                    f"{name}-timer-time",
                    host=host,
                    path=updates.TIMER_PATH,
                    content=updates.timer_dropin(f"{name}-timer-time", args.reboot),
                    adopt=adopt,
                    opts=ResourceOptions(parent=self, depends_on=[folder]),
                )
            ]
        self.ready = [
            Service(
                f"{name}-{unit}",
                host=host,
                unit=unit,
                reads=reads,
                on_change="restart",
                adopt=adopt,
                opts=ResourceOptions(parent=self, depends_on=[packages, apt, needrestart, *timer]),
            )
            for unit, reads in (
                ("apt-daily.timer", []),
                ("apt-daily-upgrade.timer", timer),
                # Lets an upgrade that is under way end before a shutdown does.
                ("unattended-upgrades.service", []),
            )
        ]
        self.register_outputs({"reboot": args.reboot, "docker": args.docker})
