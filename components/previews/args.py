"""The settings of the preview key, which may read a host but not change it."""

from __future__ import annotations

from typing import ClassVar

from portcullis.config.forms import Network
from portcullis.config.section import Section, Written
from portcullis.config.value_types import ListOf


class PreviewArgs(Section):
    """The settings of the preview key on a host."""

    what: ClassVar[str] = "a preview key"

    from_: ListOf[Network] = ()
    """The addresses and networks from which the key may log in. By default the key may log in from every
    address."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse an empty list of addresses: nobody could use the key."""
        if written.is_nothing("from_"):
            written.at.field("from_").report(
                "names no address",
                f"remove preview, or remove only {written.at.spell('from_')} to allow every address: "
                "`preview: {}`",
            )
