"""The keys of images: `portcullis:images`."""

from __future__ import annotations

from portcullis.settings import forms
from portcullis.settings.kinds import Field, Section
from portcullis.settings.model import ImagesSettings

IMAGES = Section(
    "images",
    ImagesSettings,
    (
        Field(
            "digests",
            forms.DIGEST_POLICY,
            "`required` refuses an image that is named by tag; `resolved` asks the registry for its digest",
            "resolved",
        ),
    ),
)
