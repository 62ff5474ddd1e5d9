"""The keys of backups: when, for how long, and where copies go."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from portcullis.settings import forms
from portcullis.settings.kinds import Field, Flag, Literal, MapOf, Number, Secret, Section, Text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.settings.faults import Place


@dataclass(frozen=True, slots=True)
class ResticSettings:
    """Where copies go; all of it may be secret."""

    repository: str
    environment: Mapping[str, str] = field(repr=False)
    password: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class BackupSettings:
    """How the stores of a host are backed up."""

    enabled: bool
    keep: int
    time: str
    restic: ResticSettings | None


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


def _lines(raw: Mapping[str, Any], at: Place) -> None:
    """Each of these is a line of a file."""
    variables = raw.get("environment")
    values = [(at.key("password"), raw.get("password"))]
    if isinstance(variables, dict):
        values += [(at.key("environment").key(str(name)), value) for name, value in variables.items()]
    for place, value in values:
        if isinstance(value, str) and not value.isprintable():
            place.report("does not fit on one line", "take the line end out")


# https://restic.readthedocs.io/en/stable/030_preparing_a_new_repo.html
_BACKENDS = ("sftp", "rest", "s3", "swift", "b2", "azure", "gs", "rclone")
# Two levels at least: a repository fills the folder that it is given.
_FOLDER = r"(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*){2,}"

KEEP = Number("a number of days", 1, 3650)
TIME = Text("a time of day", r"(?:[01][0-9]|2[0-3]):[0-5][0-9]", 'write "03:30", in quotes')
REPOSITORY = Text("the address of a repository", refusal=_repository)

RESTIC = Section(
    "a repository of restic",
    ResticSettings,
    (
        Field(
            "repository",
            REPOSITORY,
            "its address as restic takes it: `s3:https://s3.example.com/bucket`, `sftp:me@host:/srv/web1`, "
            "`rest:https://…`, or a folder of the host; its password is generated",
        ),
        Field(
            "environment",
            MapOf(forms.ENV_NAME, Literal()),
            "what the backend needs, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; encrypt them with "
            "`pulumi config set --secret`",
            {},
        ),
        Field(
            "password",
            Secret(),
            "the password of a repository that is there already, encrypted; without it one is generated",
            None,
        ),
    ),
    _lines,
)

BACKUPS = Section(
    "backups",
    BackupSettings,
    (
        Field("enabled", Flag(), "whether stores that keep data are backed up", default=True),
        Field("keep", KEEP, "days that dumps are kept; the newest stays however old it is", 14),
        Field("time", TIME, "when the stores are backed up every day, in the host's time zone", "03:30"),
        Field("restic", RESTIC, "a repository for copies elsewhere; without it there are none", None),
    ),
)
