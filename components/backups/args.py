"""Settings of backups: when databases are backed up, how long dumps stay, and where copies of dumps go."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from portcullis.components.postgres.args import PostgresDatabase
from portcullis.config.forms import AppName, EnvName, SecretInput, TextInput
from portcullis.config.section import Section, Written
from portcullis.config.value_types import Choice, MapOf, Number, OrOutput, SecretText, Text

# https://restic.readthedocs.io/en/stable/030_preparing_a_new_repo.html
_BACKENDS = ("sftp", "rest", "s3", "swift", "b2", "azure", "gs", "rclone")
# The path needs at least two levels, because a repository fills its whole folder.
_FOLDER = r"(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*){2,}"


def _repository(text: str) -> tuple[str, str] | None:
    how = "write s3:https://…, sftp:user@host:/path, rest:https://…, b2:…, or the absolute path of a folder"
    backend = text.partition(":")[0]
    if not text.isprintable() or " " in text:
        return ("is not the address of a repository", how)
    if text.startswith("/"):
        # The path also becomes a line of the systemd unit, so it may contain plain characters only.
        return None if re.fullmatch(_FOLDER, text) else ("is not a plain path", how)
    if ":" in text and backend in _BACKENDS:
        return None
    return ("names none of restic's backends", how)


Days = Annotated[int, Number("a number of days", 1, 3650)]
TimeOfDay = Annotated[
    str, Text("a time of day", r"(?:[01][0-9]|2[0-3]):[0-5][0-9]", 'write "03:30", in quotes')
]
# The kinds of stores, as the job's settings spell them.
StoreKind = Annotated[Literal["redis", "mongo", "postgres"], Choice("a kind of store")]
CaPath = Annotated[str, Text("a path", r"(?:/[A-Za-z0-9._-]+)+", "write /run/secrets/…")]
Repository = Annotated[TextInput, OrOutput(Text("the address of a repository", refused=_repository))]
SecretVariable = Annotated[SecretInput, SecretText(may_be_empty=True)]


class ResticArgs(Section):
    """A restic repository for copies of the dumps, in any backend of restic. Every value may be secret."""

    what: ClassVar[str] = "a repository of restic"

    repository: Repository = Field(repr=False)
    """The address of the repository as restic takes it: `s3:https://s3.example.com/bucket`,
    `sftp:me@host:/srv/web1`, `rest:https://…`, or a folder of the host."""
    environment: MapOf[EnvName, SecretVariable] = Field(default_factory=dict, repr=False)
    """Variables that the backend needs, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Encrypt them
    with `pulumi config set --secret`."""
    password: Annotated[SecretInput, SecretText()] | None = Field(default=None, repr=False)
    """The password of an existing repository, encrypted. Without it, a password is generated."""

    @property
    def local(self) -> str:
        """The repository's folder, if it is a folder of the host.

        The value is "" for any other repository, and if the address is a secret.
        """
        text = self.repository if isinstance(self.repository, str) else ""
        return text if text.startswith("/") else ""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse a value with several lines, because each value becomes one line of a file."""
        values = [(written.get("password"), written.at.field("password"))]
        values += [(value, place) for _, value, place in written.items("environment")]
        for value, place in values:
            if isinstance(value, str) and not value.isprintable():
                place.report("does not fit on one line", "remove the line end")


class BackupsArgs(Section):
    """How the stores of a host are backed up: a checked dump every night, which is kept for some days."""

    what: ClassVar[str] = "backups"

    enabled: bool = True
    """Back up the stores that keep data."""
    keep: Days = 14
    """Days that dumps are kept. The newest dump stays, however old it is."""
    time: TimeOfDay = "03:30"
    """The time of the daily backup, in the host's time zone."""
    restic: ResticArgs | None = Field(default=None, repr=False)
    """A restic repository for copies elsewhere. Without it there are no copies."""


class BackupSource(Section):
    """A store to back up.

    The job logs in with files in the container's /run/secrets. For Redis the file is `ops`, with a user and
    its password. For MongoDB it is `root-password`, with the password of the user root. PostgreSQL needs no
    file: the container's user may log in through the server's socket, as the administrator and as
    `DATABASE.restoring`.
    """

    what: ClassVar[str] = "a store to back up"

    kind: StoreKind
    """`redis`, `mongo` or `postgres`."""
    container: AppName
    """The name of the container that the store runs in."""
    append_only: bool = True
    """Whether a Redis keeps an append-only file. If it does, a restore writes a new one."""
    ca: CaPath | None = None
    """Path of the CA inside the container, if the store accepts TLS only."""
    database: PostgresDatabase | None = None
    """The database of a PostgreSQL. Each database is a store with backups of its own."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse a PostgreSQL without a database, and a database of another store."""
        kind, database = written.get("kind"), written.get("database")
        if kind == "postgres" and database is None:
            written.at.field("database").report("is missing", "name the database: shop")
        elif kind in ("redis", "mongo") and database is not None:
            written.at.field("database").report(f"has no effect for {kind}", "leave it out")
