"""Users whose names contain the generation of their password."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portcullis.host.provider import HostProvider, is_known
from portcullis.provider.base import DiffResult

if TYPE_CHECKING:
    from portcullis.provider.base import Props


class ByGeneration(HostProvider):
    """The base of providers of users whose names contain the generation of a `GeneratedSecret`."""

    def diff(self, id_: str, olds: Props, news: Props) -> DiffResult:
        """Create the next user before the old user is removed, so that apps can change to it in between.

        A name that Pulumi does not know yet counts as a new name: the generation is unknown only during a
        rotation.
        """
        del id_
        changed = (
            key for key in self.identity if not is_known(news.get(key)) or olds.get(key) != news.get(key)
        )
        return DiffResult(replaces=[*changed])
