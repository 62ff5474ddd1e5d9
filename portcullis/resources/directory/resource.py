"""A folder on a host: its owner and mode, but not its content."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portcullis.host.provider import ABSENT, HostProvider
from portcullis.host.resource import DeclaredResource
from portcullis.resources.directory.facts import DirectoryDesired, DirectoryFacts, DirectoryProps

if TYPE_CHECKING:
    from portcullis.provider.base import Props


class DirectoryProvider(HostProvider):
    """Provider of `Directory`."""

    kind = "directory"
    desired_type = DirectoryDesired
    facts_type = DirectoryFacts

    def importable(self, item: str) -> Props | None:
        """Return the path of the imported folder, and the defaults of inputs that the host does not know."""
        return {"path": item, "on_delete": "remove"}

    def absent_inputs(self) -> Props:
        """Return the inputs that show a missing folder."""
        return {"mode": ABSENT}


class Directory(DirectoryProps, DeclaredResource):
    """A folder on a host.

    A delete removes the folder only if Portcullis made the folder and it is empty. Data is never deleted.
    """

    provider_type = DirectoryProvider
    outputs = ()

    def derived(self, given: DirectoryProps) -> dict[str, Any]:
        """Keep the path as a text, for a `Service` that reads the folder."""
        self.path_text = given.path
        return {}
