"""The component that backs up Redis, MongoDB and PostgreSQL servers every night.

If a server has no fresh backup, a preview shows drift.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi import ResourceOptions

from portcullis.components.backups import render as backup
from portcullis.components.backups.resource import BackupStatus
from portcullis.components.secrets.resource import GeneratedSecret
from portcullis.config.arguments import faults_in
from portcullis.config.faults import ArgumentsError, Fault, shown
from portcullis.config.forms import StoreName
from portcullis.config.secret import Secret
from portcullis.config.value_types import ListOf
from portcullis.resources import Directory, File, Packages, Service

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from portcullis.components.backups.args import BackupsArgs, BackupSource, ResticArgs
    from portcullis.host import Host

RESTIC = "restic"


class Backup(pulumi.ComponentResource):
    """The job that backs up stores, its timer, and the check that each store has a fresh backup.

    Dumps are in /var/backups/portcullis and stay when the stack is destroyed. The first `up` takes the first
    backup. On the host, the command `portcullis-backup` makes, lists and restores backups. On the deploying
    machine, `make restore` lists and restores backups.

    Attributes:
        restic_password: the repository's password, a secret; None without restic. Nobody can read the copies
            in the repository without this password and the variables in `ResticArgs.environment`. Keep the
            password and these variables in a second place, outside of the host.

    Example:
        ```python
        from pulumi import ResourceOptions

        from portcullis.components import (
            Backup,
            BackupsArgs,
            BackupSource,
            ExistingDockerEngine,
            Redis,
            RedisArgs,
            ResticArgs,
        )
        from portcullis.host import Connection, Host, write_ssh_config

        HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq"
        REDIS = "redis:8@sha256:5c0f4a1e8d7b6c5a493827161504f3e2d1c0bfaebdac9b8a7968574635241302"

        write_ssh_config({"web1": Connection("203.0.113.10", host_key=HOST_KEY)})
        host = Host("web1")
        redis = Redis("redis", RedisArgs(image=REDIS), engine=ExistingDockerEngine("docker", host=host))
        Backup(
            "web1-backup",
            BackupsArgs(keep=30, restic=ResticArgs(repository="/srv/copies/web1")),
            host=host,
            stores={"redis": BackupSource(kind="redis", container="redis")},
            opts=ResourceOptions(depends_on=[redis]),
        )
        ```
    """

    restic_password: pulumi.Output[str] | None

    def __init__(
        self,
        name: str,
        args: BackupsArgs,
        *,
        host: Host,
        stores: Mapping[str, BackupSource],
        opts: ResourceOptions | None = None,
    ) -> None:
        """Declare the backups.

        Args:
            name: the component's name, such as "web1-backup".
            args: settings of the backups. Without `restic`, the component does not install restic.
            host: the host. With `adopt`, the deploy replaces existing files that differ from the declared
                files.
            stores: the stores, by the names that `make restore STORE=…` uses. The name of a database of
                PostgreSQL ends with the database: "postgres.shop".
            opts: options of the component. Add the stores to its `depends_on`, because the first `up` backs
                up the stores.

        Raises:
            ArgumentsError: an argument cannot be used. The error lists every such argument.
        """
        _check(args, stores)
        super().__init__("portcullis:index:Backup", name, None, opts)
        self._name, self._args, self._host, self._stores = name, args, host, stores
        self.restic_password = None
        self._own = self._folder("settings-folder", backup.SETTINGS, "0700")
        parts = [*self._program(), self._settings()]
        if args.restic is not None:
            parts += self._restic(args.restic)
        folder = self._folder("folder", backup.FOLDER, "0700")
        local = args.restic.local if args.restic else ""
        service_name, timer_name = f"{name}-service", f"{name}-timer"
        service = self._file(
            "service",
            f"/etc/systemd/system/{backup.UNIT}.service",
            backup.service(service_name, restic=args.restic is not None, local=local),
        )
        timer = self._file(
            "timer", f"/etc/systemd/system/{backup.UNIT}.timer", backup.timer(timer_name, args.time)
        )
        running = Service(
            f"{name}-{backup.UNIT}.timer",
            host=host,
            unit=f"{backup.UNIT}.timer",
            reads=[service, timer],
            on_change="restart",
            opts=ResourceOptions(parent=self, depends_on=[*parts, folder, service, timer]),
        )
        BackupStatus(
            f"{name}-status",
            host=host,
            unit=f"{backup.UNIT}.service",
            status=backup.STATUS,
            stores=[*stores, *([RESTIC] if args.restic else [])],
            opts=ResourceOptions(parent=self, depends_on=[running]),
        )
        self.register_outputs({"keep": args.keep, "time": args.time})

    def _program(self) -> list[pulumi.Resource]:
        library = self._folder("library", backup.LIBRARY)
        modules = [
            self._file(f"library-{file}", f"{backup.LIBRARY}/{file}", text, after=[library])
            for file, text in backup.modules().items()
        ]
        launcher = backup.launcher(f"{self._name}-program")
        return [self._file("program", backup.PROGRAM, launcher, mode="0755", after=modules)]

    def _settings(self) -> pulumi.Resource:
        args = self._args
        stores = {store: _store_settings(source) for store, source in self._stores.items()}
        told = backup.settings(args.keep, stores, self._host.alias if args.restic else None)
        return self._file("settings", f"{backup.SETTINGS}/config.json", told, mode="0600", after=[self._own])

    def _restic(self, restic: ResticArgs) -> list[pulumi.Resource]:
        packages = Packages(
            f"{self._name}-packages",
            host=self._host,
            names=["restic"],
            opts=ResourceOptions(parent=self),
        )
        if restic.password is None:
            # Never rotated: a repository keeps the password that it was created with.
            made = GeneratedSecret(f"{self._name}-restic-password", opts=ResourceOptions(parent=self))
            self.restic_password = made.value
        else:
            self.restic_password = Secret.of(restic.password).output
        given = {variable: Secret.of(value).output for variable, value in restic.environment.items()}
        variables = pulumi.Output.json_dumps(given).apply(lambda text: backup.environment(json.loads(text)))
        secrets: dict[str, pulumi.Input[str]] = {
            "repository": pulumi.Output.concat(restic.repository, "\n"),
            "password": pulumi.Output.concat(self.restic_password, "\n"),
            "environment": variables,
        }
        folders = [self._folder(f"{RESTIC}-folder", restic.local, "0700")] if restic.local else []
        files = [
            self._file(
                f"{RESTIC}-{what}",
                f"{backup.SETTINGS}/restic-{what}",
                pulumi.Output.secret(text),
                mode="0600",
                after=[self._own],
            )
            for what, text in secrets.items()
        ]
        return [packages, *files, *folders]

    def _folder(self, part: str, path: str, mode: str = "0755") -> Directory:
        return Directory(
            f"{self._name}-{part}",
            host=self._host,
            path=path,
            mode=mode,
            opts=ResourceOptions(parent=self),
        )

    def _file(
        self,
        part: str,
        path: str,
        content: pulumi.Input[str],
        *,
        mode: str = "0644",
        after: Sequence[pulumi.Resource] = (),
    ) -> File:
        return File(
            f"{self._name}-{part}",
            host=self._host,
            path=path,
            content=content,
            mode=mode,
            opts=ResourceOptions(parent=self, depends_on=after),
        )


def _check(args: BackupsArgs, stores: Mapping[str, BackupSource]) -> None:
    """Refuse backups without a store, and a store with the reserved name `RESTIC`.

    The status file notes the result of the restic copies under this name.
    """
    plain = {name.removesuffix(f".{store.database}") for name, store in stores.items()}
    faults = faults_in(ListOf[StoreName], sorted(plain), "Backup.stores")
    if RESTIC in stores:
        why = f"{shown(RESTIC)} is not a name for a store: it is the name of the copies in the repository"
        faults.append(Fault("Backup.stores", why, "write redis, mongo or postgres.shop"))
    if not stores:
        faults.append(Fault("Backup.stores", "names no store", "leave out the component"))
    if not args.enabled:
        faults.append(Fault("BackupsArgs.enabled", "is false", "leave out the component"))
    if faults:
        raise ArgumentsError(faults)


def _store_settings(source: BackupSource) -> dict[str, Any]:
    """Return the job's settings for a store."""
    more = {"append_only": source.append_only} if source.kind == "redis" else {}
    tls = {"tls": source.ca} if source.ca else {}
    database = {"database": source.database} if source.database else {}
    return {"kind": source.kind, "container": source.container, **more, **tls, **database}
