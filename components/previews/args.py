"""Who may look at a host without changing it."""

from __future__ import annotations

from typing import ClassVar

from portcullis.config.forms import Network
from portcullis.config.section import Section, Written
from portcullis.config.value_types import ListOf


class PreviewArgs(Section):
    """Where the preview key may come from."""

    what: ClassVar[str] = "who may preview"

    from_: ListOf[Network] = ()
    """The addresses and networks that the key may come from; without it every address."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse a preview for nobody."""
        if written.is_nothing("from_"):
            written.at.field("from_").report(
                "names nobody",
                f"take preview out, or leave {written.at.spell('from_')} out where it may come from "
                "anywhere: `preview: {}`",
            )
