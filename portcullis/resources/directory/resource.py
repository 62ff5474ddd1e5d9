"""A folder on a host: its owner and mode, but not its content."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from portcullis.host.provider import ABSENT, HostProvider, Normaliser, mode_text
from portcullis.host.resource import HostResource
from portcullis.resources.directory.facts import DirectoryDesired, DirectoryFacts

if TYPE_CHECKING:
    import pulumi

    from portcullis.host.host import Host
    from portcullis.provider.base import Props


class DirectoryProvider(HostProvider):
    """Provider of `Directory`."""

    kind = "directory"
    desired_type = DirectoryDesired
    facts_type = DirectoryFacts
    live = ("owner", "group", "mode")
    identity = ("host", "path")

    def normalise(self, inputs: Normaliser) -> None:
        """Check path and mode."""
        inputs.path("path")
        inputs.mode("mode")
        inputs.text("owner")
        inputs.text("group")
        inputs.one_of("on_delete", "remove", "keep")
        if inputs.news.get("make_parents"):
            inputs.keep("make_parents")

    def importable(self, item: str) -> Props | None:
        """Return the path of the imported folder, and the defaults of inputs that the host does not know."""
        return {"path": item, "on_delete": "remove"}

    def absent_inputs(self) -> Props:
        """Return the inputs that show a missing folder."""
        return {"mode": ABSENT}


class Directory(HostResource):
    """A folder on a host.

    A delete removes the folder only if Portcullis made the folder and it is empty. Data is never deleted.
    """

    path: pulumi.Output[str]
    owner: pulumi.Output[str]
    group: pulumi.Output[str]
    mode: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        host: Host | str,
        path: str,
        owner: str = "root",
        group: str = "root",
        mode: str = "0755",
        on_delete: Literal["remove", "keep"] = "remove",
        make_parents: bool = False,
        adopt: bool | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the folder.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            path: absolute path; without `make_parents`, the folder above it must exist.
            owner: user name.
            group: group name.
            mode: permission bits in octal, such as "0750".
            on_delete: remove the folder if it is empty, or keep it.
            make_parents: whether to make missing folders above this folder. Only root can enter the new
                folders (0700). Such a new folder is removed together with the last declared folder in it.
            adopt: whether to take over a folder that exists with another owner or mode.
            opts: resource options.
        """
        self.path_text = path
        super().__init__(
            DirectoryProvider,
            name,
            host=host,
            adopt=adopt,
            inputs={
                "path": path,
                "owner": owner,
                "group": group,
                "mode": mode_text(mode),
                "on_delete": on_delete,
                **({"make_parents": True} if make_parents else {}),
            },
            outputs=(),
            opts=opts,
        )
