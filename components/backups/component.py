"""Backups of the stores: every night, checked, kept for some days, and what is not fresh is a difference."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pulumi
from pulumi import ResourceOptions

from portcullis.components.backups import render as backup
from portcullis.components.backups.args import Days, Repository, TimeOfDay
from portcullis.components.backups.resource import BackupStatus
from portcullis.components.secrets.resource import GeneratedSecret
from portcullis.config.arguments import validate
from portcullis.config.faults import Fault
from portcullis.config.forms import Alias, AppName, EnvName
from portcullis.config.kinds import Choice, ListOf
from portcullis.resources import Directory, File, Packages, Service

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RESTIC = "restic"
# As the job's list calls them; a dot leads to a database.
_StoreKind = Annotated[Literal["redis", "mongo"], Choice("a kind of store")]
_STORE = re.compile(r"[a-z][a-z0-9-]{0,30}")


@dataclass(frozen=True, slots=True)
class BackupSource:
    """A store to back up, by the container it runs in.

    The job logs in with the files in the container's /run/secrets: `ops` of Redis, which holds a user and its
    password, `root-password` of MongoDB, whose user is root.

    Attributes:
        kind: redis or mongo.
        container: the container's name.
        append_only: whether a Redis keeps an append-only file, which a restore has to write anew.
        ca: path of the CA inside the container, where the store speaks nothing but TLS.
        after: what has to be there before it can be backed up.
    """

    kind: Literal["redis", "mongo"]
    container: str
    append_only: bool = True
    ca: str = ""
    after: Sequence[pulumi.Resource] = ()

    def __post_init__(self) -> None:
        """Check what would otherwise fail on the host."""
        validate(self, {"kind": _StoreKind, "container": AppName})
        if self.ca and not re.fullmatch(r"(?:/[A-Za-z0-9._-]+)+", self.ca):
            raise ValueError(
                str(Fault("BackupSource.ca", f"{self.ca!r} is not a path", "write /run/secrets/…"))
            )

    def told(self) -> dict[str, Any]:
        """Return what the job has to know."""
        more = {"append_only": self.append_only} if self.kind == "redis" else {}
        return {
            "kind": self.kind,
            "container": self.container,
            **more,
            **({"tls": self.ca} if self.ca else {}),
        }


@dataclass(frozen=True, slots=True)
class ResticArgs:
    """A repository for copies elsewhere, in any of restic's backends.

    Attributes:
        repository: its address as restic takes it: `s3:https://…`, `sftp:user@host:/path`, `rest:https://…`,
            or a folder of the host. May be a secret.
        environment: what its backend needs, such as AWS_ACCESS_KEY_ID; secrets.
        password: that of a repository that is there already, a secret; without it one is generated.
    """

    repository: pulumi.Input[str]
    environment: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    password: pulumi.Input[str] | None = None

    def __post_init__(self) -> None:
        """Check what is known already."""
        validate(self, {"environment": ListOf[EnvName]})
        if isinstance(self.repository, str):
            validate(self, {"repository": Repository})
        for name, value in {**self.environment, "password": self.password}.items():
            if isinstance(value, str) and not value.isprintable():
                raise ValueError(str(Fault(f"ResticArgs.{name}", "does not fit on one line", "look at it")))

    @property
    def local(self) -> str:
        """The repository's folder, if it is one of the host; of a secret address that is not asked."""
        text = self.repository if isinstance(self.repository, str) else ""
        return text if text.startswith("/") else ""


@dataclass(frozen=True, slots=True)
class BackupArgs:
    """What is backed up, when, for how long, and whether copies go elsewhere.

    Attributes:
        host: alias of the host.
        stores: the stores by name: what `make restore STORE=…` calls them.
        keep: days that dumps are kept; the newest one stays however old it is.
        time: when the job runs every day, in the host's time zone.
        restic: a repository for copies; without it nothing of restic is installed.
        after: what has to be there before.
        adopt: replace files that are there and differ.

    Raises:
        ValueError: naming every attribute that cannot be used.
    """

    host: str
    stores: Mapping[str, BackupSource]
    keep: int = 14
    time: str = "03:30"
    restic: ResticArgs | None = None
    after: Sequence[pulumi.Resource] = ()
    adopt: bool = False

    def __post_init__(self) -> None:
        """Check what would otherwise fail on the host."""
        validate(self, {"host": Alias, "keep": Days, "time": TimeOfDay})
        faults = [
            str(Fault("BackupArgs.stores", f"{name!r} is not a name for a store", "write redis or mongo"))
            for name in self.stores
            if not _STORE.fullmatch(name) or name == RESTIC
        ]
        if not self.stores:
            faults = [str(Fault("BackupArgs.stores", "names no store", "leave the component out"))]
        if faults:
            raise ValueError("\n".join(faults))


class Backup(pulumi.ComponentResource):
    """The job that backs stores up, its timer, and the proof that each store has a fresh backup.

    Dumps are in /var/backups/portcullis and stay when the stack is destroyed. The first `up` takes the first
    backup. `portcullis-backup` on the host runs, lists and restores; `make restore` does it from here.

    Attributes:
        ready: what has to be waited for.
        restic_password: the repository's password, a secret; None without restic. Whoever has it and what
            the backend needs can read the copies, and nobody can without: keep it outside of the host.
    """

    ready: list[pulumi.Resource]
    restic_password: pulumi.Output[str] | None

    def __init__(self, name: str, args: BackupArgs, opts: ResourceOptions | None = None) -> None:
        """Declare it under `name`, such as "web1-backup"."""
        super().__init__("portcullis:index:Backup", name, None, opts)
        self._name, self._args = name, args
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
            host=args.host,
            unit=f"{backup.UNIT}.timer",
            reads=[service, timer],
            on_change="restart",
            adopt=args.adopt,
            opts=ResourceOptions(parent=self, depends_on=[*parts, folder, service, timer]),
        )
        stores = [thing for source in args.stores.values() for thing in source.after]
        status = BackupStatus(
            f"{name}-status",
            host=args.host,
            unit=f"{backup.UNIT}.service",
            status=backup.STATUS,
            stores=[*args.stores, *([RESTIC] if args.restic else [])],
            opts=ResourceOptions(parent=self, depends_on=[running, *stores]),
        )
        self.ready = [status]
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
        stores = {store: source.told() for store, source in args.stores.items()}
        told = backup.settings(args.keep, stores, args.host if args.restic else None)
        return self._file("settings", f"{backup.SETTINGS}/config.json", told, mode="0600", after=[self._own])

    def _restic(self, restic: ResticArgs) -> list[pulumi.Resource]:
        packages = Packages(
            f"{self._name}-packages",
            host=self._args.host,
            names=["restic"],
            adopt=self._args.adopt,
            opts=ResourceOptions(parent=self, depends_on=list(self._args.after)),
        )
        if restic.password is None:
            # Never rotated: a repository keeps the password that it was made with.
            made = GeneratedSecret(f"{self._name}-restic-password", opts=ResourceOptions(parent=self))
            self.restic_password = made.value
        else:
            self.restic_password = pulumi.Output.secret(restic.password)
        variables = pulumi.Output.json_dumps(dict(restic.environment)).apply(
            lambda text: backup.environment(json.loads(text))
        )
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
            host=self._args.host,
            path=path,
            mode=mode,
            adopt=self._args.adopt,
            opts=ResourceOptions(parent=self, depends_on=list(self._args.after)),
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
            host=self._args.host,
            path=path,
            content=content,
            mode=mode,
            adopt=self._args.adopt,
            opts=ResourceOptions(parent=self, depends_on=list(after) or list(self._args.after)),
        )
