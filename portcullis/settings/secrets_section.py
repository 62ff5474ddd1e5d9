"""The stack's own secrets, its logins at image registries, and what else is encrypted in the settings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from portcullis.settings import forms
from portcullis.settings.kinds import Field, MapOf, Secret, Section
from portcullis.settings.model import Credentials

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.settings.faults import Place

SECRET = Secret()

REGISTRY = Section(
    "a login at a registry",
    Credentials,
    (
        Field("username", forms.ARGUMENT, "who logs in"),
        Field(
            "password", SECRET, "the password or token, for reading only if the registry has such; encrypted"
        ),
    ),
)

_CREDENTIAL = re.compile("KEY|SECRET|PASSWORD|TOKEN", re.IGNORECASE)
"""Variables of a backend that hold a secret: AWS_SECRET_ACCESS_KEY, B2_ACCOUNT_KEY, RESTIC_REST_PASSWORD."""

SECRETS = MapOf(forms.SECRET_NAME, SECRET)
"""`portcullis:secrets`: name to text; apps name those they get."""
REGISTRIES = MapOf(forms.REGISTRY, REGISTRY)
"""`portcullis:registries`: name of a registry, as it stands before an image, to the login there."""


def encrypted(config: Mapping[str, Any], at: Place) -> None:
    """Refuse `portcullis:secrets` or `portcullis:registries` in clear; `at` is that key's place.

    Pulumi tells of a whole key only whether something in it is encrypted: one clear value beside an
    encrypted one is not seen.
    """
    key = at.path.rpartition(":")[2]
    if config.get(key) and not at.secret:
        path = f"'{at.path}[\"NAME\"].password'" if key == "registries" else f"{at.path}.NAME"
        at.report("is not encrypted", f"`pulumi config set --secret --path {path}` asks for each value")


def passwords(config: Mapping[str, Any], at: Place) -> None:
    """Refuse passwords in clear under a key that holds other things too; `at` is that key's place."""
    if at.secret:
        return
    key = at.path.rpartition(":")[2]
    for *way, last in _PASSWORDS[key]:
        section, place = config.get(key), at
        for part in way:
            section, place = section.get(part) if isinstance(section, dict) else None, place.key(part)
        value = section.get(last) if isinstance(section, dict) else None
        if isinstance(value, dict):
            found = [place.key(last).key(name) for name in map(str, value) if _CREDENTIAL.search(name)]
        else:
            found = [place.key(last)] if value else []
        for secret in found:
            how = f"`pulumi config set --secret --path {secret.path}` asks for it"
            secret.report("is not encrypted", how)


_PASSWORDS = {
    "backups": (("restic", "password"), ("restic", "environment")),
    "stores": (("mongo", "formerPassword"),),
}
