"""The stack's own secrets, and its logins at image registries: both encrypted in the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portcullis.settings import forms
from portcullis.settings.kinds import Field, Literal, MapOf, Section
from portcullis.settings.model import Credentials

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.settings.faults import Place

_MOST = 65_536  # bytes: a key with its chain, with much room


class _Secret(Literal):
    """A text that is not empty; it is never shown, encrypted or not."""

    def read(self, raw: Any, at: Place) -> str | None:
        """Take the text unchanged, line ends included."""
        if isinstance(raw, str) and not raw:
            at.report("is empty", "no value is not a secret")
            return None
        if isinstance(raw, str) and len(raw.encode("utf-8", "surrogatepass")) > _MOST:
            at.report(f"has more than {_MOST} bytes", "a secret is a key or a password")
            return None
        if not isinstance(raw, str):
            at.report("is not text", "put it in quotes, so that YAML keeps it as you typed it")
            return None
        return super().read(raw, at)


SECRET = _Secret()

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
