"""The keys of a site, what nginx serves under one host name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portcullis.settings import forms
from portcullis.settings.kinds import Field, Flag, MapOf, Section
from portcullis.settings.model import SiteSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.settings.faults import Place


def _site(raw: Mapping[str, Any], at: Place) -> None:
    written = {key for key, value in raw.items() if value is not None}
    if {"app", "root"} <= written:
        at.key("root").report("is a second answer beside app", "keep one; paths send parts of a root to apps")
    if not {"app", "root"} & written:
        at.key("app").report("is missing", "write the app that answers, or root: a folder of files to serve")
    if raw.get("spa") is True and "root" not in written:
        at.key("spa").report("needs files", "add root")
    if "paths" in written and isinstance(raw["paths"], dict) and "/" in raw["paths"]:
        at.key("paths").key("/").report("is the whole site", "write app instead")


SITE = Section(
    "a site",
    SiteSettings,
    (
        Field("app", forms.APP_NAME, "the app that answers", None),
        Field(
            "root",
            forms.FOLDER,
            "or a folder of files to serve, relative to the project, such as the build of a React site",
            None,
        ),
        Field(
            "spa",
            Flag(),
            "the files are a single-page application: a path that is no file gives index.html",
            default=False,
        ),
        Field(
            "paths",
            MapOf(forms.PATH_PREFIX, forms.APP_NAME),
            "parts of the site that other apps answer, by the beginning of the path: `{/api/: api}`",
            {},
        ),
        Field("host", forms.ALIAS, "the host that serves it, where no app says so", ""),
    ),
    _site,
)

SITES = MapOf(forms.SERVER_NAME, SITE)
