"""Security upgrades that the host installs by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
from pulumi import ResourceOptions

from portcullis.components.updates import render
from portcullis.resources import Directory, File, Packages, Service

if TYPE_CHECKING:
    from portcullis.components.docker.versions import Source
    from portcullis.components.updates.args import UpdatesArgs
    from portcullis.host import Host


class SystemUpdates(pulumi.ComponentResource):
    """Security updates every day, restarts of affected services, and a reboot at night if needed.

    Example:
        ```python
        from portcullis.components import SystemUpdates, UpdatesArgs
        from portcullis.host import Connection, Host, write_ssh_config

        key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq"
        write_ssh_config({"web1": Connection(address="203.0.113.10", host_key=key)})
        web1 = Host("web1", os="debian-13")

        SystemUpdates("web1-updates", UpdatesArgs(reboot="03:30", docker="hold"), host=web1)
        ```
    """

    def __init__(
        self,
        name: str,
        args: UpdatesArgs,
        *,
        host: Host,
        docker_source: Source = "debian",
        opts: ResourceOptions | None = None,
    ) -> None:
        """Declare the updates.

        Args:
            name: the component's name, such as "web1-updates".
            args: the time of reboots, and whether the host upgrades Docker.
            host: the host. The host's operating system decides where security updates come from.
            docker_source: the source of the host's Docker packages, see `DockerEngineArgs.source`.
            opts: options of the component.
        """
        super().__init__("portcullis:index:SystemUpdates", name, None, opts)
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
            path=render.APT_PATH,
            content=render.apt_conf(
                f"{name}-apt", host.os, args.reboot, args.docker, docker_source=docker_source
            ),
            # With a broken file, every call of apt would fail.
            test=["apt-config", "dump"],
            opts=after,
        )
        needrestart = File(
            f"{name}-needrestart",
            host=host,
            path=render.NEEDRESTART_PATH,
            content=render.needrestart_conf(f"{name}-needrestart"),
            validate=["perl", "-c", "{path}"],
            opts=after,
        )
        timer = []
        if args.reboot != render.NEVER:
            folder = Directory(
                f"{name}-timer-folder",
                host=host,
                path=render.TIMER_FOLDER,
                # The folder comes after the packages: installing unattended-upgrades deletes empty unit
                # folders.
                opts=after,
            )
            timer = [
                File(
                    f"{name}-timer-time",
                    host=host,
                    path=render.TIMER_PATH,
                    content=render.timer_dropin(f"{name}-timer-time", args.reboot),
                    opts=ResourceOptions(parent=self, depends_on=[folder]),
                )
            ]
        for unit, reads in (
            ("apt-daily.timer", []),
            ("apt-daily-upgrade.timer", timer),
            # A shutdown waits until this unit has finished a running upgrade.
            ("unattended-upgrades.service", []),
        ):
            Service(
                f"{name}-{unit}",
                host=host,
                unit=unit,
                reads=reads,
                on_change="restart",
                opts=ResourceOptions(parent=self, depends_on=[packages, apt, needrestart, *timer]),
            )
        self.register_outputs({"reboot": args.reboot, "docker": args.docker})
