"""When stores are backed up, for how long, and where copies go."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from portcullis.config.forms import AppName, EnvName, SecretInput, TextInput
from portcullis.config.section import Section, Written
from portcullis.config.value_types import Choice, MapOf, Number, OrOutput, SecretText, Text

# https://restic.readthedocs.io/en/stable/030_preparing_a_new_repo.html
_BACKENDS = ("sftp", "rest", "s3", "swift", "b2", "azure", "gs", "rclone")
# Two levels at least: a repository fills the folder that it is given.
_FOLDER = r"(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*){2,}"


def _repository(text: str) -> tuple[str, str] | None:
    how = "write s3:https://…, sftp:user@host:/path, rest:https://…, b2:…, or the whole path of a folder"
    backend = text.partition(":")[0]
    if not text.isprintable() or " " in text:
        return ("is not the address of a repository", how)
    if text.startswith("/"):
        # The folder stands in the unit's file, where a path has to be plain.
        return None if re.fullmatch(_FOLDER, text) else ("is not a plain path", how)
    if ":" in text and backend in _BACKENDS:
        return None
    return ("has none of restic's backends", how)


Days = Annotated[int, Number("a number of days", 1, 3650)]
TimeOfDay = Annotated[
    str, Text("a time of day", r"(?:[01][0-9]|2[0-3]):[0-5][0-9]", 'write "03:30", in quotes')
]
# As the job's list calls them; a dot leads to a database.
StoreKind = Annotated[Literal["redis", "mongo"], Choice("a kind of store")]
CaPath = Annotated[str, Text("a path", r"(?:/[A-Za-z0-9._-]+)+", "write /run/secrets/…")]
Repository = Annotated[TextInput, OrOutput(Text("the address of a repository", refused=_repository))]
SecretVariable = Annotated[SecretInput, SecretText(may_be_empty=True)]


class ResticArgs(Section):
    """A repository for copies elsewhere, in any of restic's backends. All of it may be secret."""

    what: ClassVar[str] = "a repository of restic"

    repository: Repository = Field(repr=False)
    """Its address as restic takes it: `s3:https://s3.example.com/bucket`, `sftp:me@host:/srv/web1`,
    `rest:https://…`, or a folder of the host; its password is generated."""
    environment: MapOf[EnvName, SecretVariable] = Field(default_factory=dict, repr=False)
    """What the backend needs, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; encrypt them with
    `pulumi config set --secret`."""
    password: Annotated[SecretInput, SecretText()] | None = Field(default=None, repr=False)
    """The password of a repository that is there already, encrypted; without it one is generated."""

    @property
    def local(self) -> str:
        """The repository's folder, if it is one of the host; of a secret address that is not asked."""
        text = self.repository if isinstance(self.repository, str) else ""
        return text if text.startswith("/") else ""

    @classmethod
    def check(cls, written: Written) -> None:
        """Each of these is a line of a file."""
        values = [(written.get("password"), written.at.field("password"))]
        values += [(value, place) for _, value, place in written.items("environment")]
        for value, place in values:
            if isinstance(value, str) and not value.isprintable():
                place.report("does not fit on one line", "take the line end out")


class BackupsArgs(Section):
    """How the stores of a host are backed up: every night, checked, kept for some days."""

    what: ClassVar[str] = "backups"

    enabled: bool = True
    """Whether stores that keep data are backed up."""
    keep: Days = 14
    """Days that dumps are kept; the newest stays however old it is."""
    time: TimeOfDay = "03:30"
    """When the stores are backed up every day, in the host's time zone."""
    restic: ResticArgs | None = Field(default=None, repr=False)
    """A repository for copies elsewhere; without it there are none."""


class BackupSource(Section):
    """A store to back up, by the container it runs in.

    The job logs in with the files in the container's /run/secrets: `ops` of Redis, which holds a user and its
    password, `root-password` of MongoDB, whose user is root.
    """

    what: ClassVar[str] = "a store to back up"

    kind: StoreKind
    """`redis` or `mongo`."""
    container: AppName
    """The container's name."""
    append_only: bool = True
    """Whether a Redis keeps an append-only file, which a restore has to write anew."""
    ca: CaPath | None = None
    """Path of the CA inside the container, where the store speaks nothing but TLS."""
