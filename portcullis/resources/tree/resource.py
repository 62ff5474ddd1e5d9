"""A folder of many files on a host. All files change in one step."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from portcullis.host.errors import HostError
from portcullis.host.provider import HostProvider, Normaliser, is_known, stack_of
from portcullis.host.resource import HostResource, local_folder
from portcullis.host.session import WRITE_TIMEOUT, who
from portcullis.provider.changes import Line, Section, Severity, with_rest
from portcullis.resources.tree.facts import TreeDesired, TreeFacts

if TYPE_CHECKING:
    import pulumi

    from portcullis.host.agent_process import Json
    from portcullis.host.host import Host
    from portcullis.host.session import Channel
    from portcullis.host.survey import Item
    from portcullis.provider.base import Props
    from portcullis.provider.changes import Change

PIECE = 256 * 1024
"""One message contains at most this many bytes of a file."""


class TreeProvider(HostProvider):
    """Provider of `Tree`."""

    kind = "tree"
    desired_type = TreeDesired
    facts_type = TreeFacts
    live = ("files", "owner", "group")
    identity = ("host", "path")

    def normalise(self, inputs: Normaliser) -> None:
        """Check the path and the manifest."""
        inputs.path("path")
        inputs.text("owner")
        inputs.text("group")
        inputs.text("source")
        inputs.one_of("on_delete", "remove", "keep")
        files = inputs.news.get("files")
        inputs.inputs["files"] = files
        if is_known(files):
            for name in files or {}:
                if name.startswith("/") or ".." in name.split("/"):
                    inputs.fail("files", f"{name!r} leads out of the tree")
            if not files:
                inputs.fail("files", "is empty: the source folder has no file")

    def absent_inputs(self) -> Props:
        """Return the inputs that show a missing tree: no files."""
        return {"files": {}}

    def apply(self, channel: Channel, item: Item, props: Props) -> Json:
        """Send the bytes that the host lacks, then switch the link."""
        path, files = props["path"], props["files"]
        missing = set(channel.request("tree-missing", timeout=60.0, path=path, files=files)["missing"])
        for name, digest in sorted(files.items()):
            if digest in missing:
                missing.discard(digest)
                _send(channel, props, Path(props["source"]) / name, digest)
        return super().apply(channel, item, props)

    def differing(self, change: Change, subject: str) -> list[Line]:
        """Return a line with the number of files that differ, and the name of the first one."""
        names = [name for name, *_ in change.entries("files")]
        if not names:
            return super().differing(change, subject)
        severity = Severity.WRONG if change.by_hand(("files",)) else Severity.COSMETIC
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        found = [Line(subject, f"{names[0]}{more} differ", "", severity, Section.SITES, at=("files",))]
        return with_rest(change, subject, found)


def _send(channel: Channel, props: Props, source: Path, digest: str) -> None:
    try:
        data = source.read_bytes()
    except OSError as error:
        raise HostError(f"the source file {source} cannot be read: {error.strerror}", prop="source") from None
    if hashlib.sha256(data).hexdigest() != digest:
        raise HostError(
            f"the source file {source} changed while the program ran", prop="source", hint="run `up` again"
        )
    for start in range(0, max(len(data), 1), PIECE):
        piece = base64.b64encode(data[start : start + PIECE]).decode()
        last = start + PIECE >= len(data)
        channel.request(
            "blob", timeout=WRITE_TIMEOUT, write=True, stack=stack_of(props), who=who(), path=props["path"],
            sha=digest, data=piece, last=last,
        )  # fmt: skip


def manifest(source: str | os.PathLike[str]) -> dict[str, str]:
    """Return the SHA-256, in hex, of each file under a folder. The keys are relative paths with slashes.

    Raises:
        ValueError: the folder is missing, or contains a symbolic link or special file.
    """
    root = Path(source)
    if not root.is_dir():
        raise ValueError(
            f"source: {root} is not a folder on this machine; run the build that makes it, or correct the "
            "path, which is relative to the project's folder"
        )
    found: dict[str, str] = {}
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted([*names, *(f for f in folders if (Path(folder) / f).is_symlink())]):
            path = Path(folder) / name
            if path.is_symlink() or not path.is_file():
                raise ValueError(
                    f"source: the path {path} is not a plain file; a Tree contains plain files only"
                )
            found[path.relative_to(root).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


class Tree(HostResource):
    """Many files from a local folder, such as a built web site.

    The state has only the manifest: the path and digest of each file. An `up` sends the bytes that the host
    lacks. Each version is a folder of its own beside `path`. `path` is a symbolic link, which switches to the
    new version in one step. Files have mode 0644 and folders 0755.
    """

    path: pulumi.Output[str]
    files: pulumi.Output[dict[str, str]]

    def __init__(
        self,
        name: str,
        *,
        host: Host | str,
        path: str,
        source: str | os.PathLike[str],
        owner: str = "root",
        group: str = "root",
        on_delete: Literal["remove", "keep"] = "remove",
        adopt: bool | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the tree.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            path: absolute path on the host, which becomes a symbolic link.
            source: local folder, relative to the project folder.
            owner: user name of all files.
            group: group name of all files.
            on_delete: remove the files, or keep them.
            adopt: replace another folder or link that exists at `path`.
            opts: resource options.

        Raises:
            ValueError: the source folder is missing, or contains something other than plain files.
        """
        self.path_text = path
        super().__init__(
            TreeProvider,
            name,
            host=host,
            adopt=adopt,
            inputs={
                "path": path,
                "source": local_folder(source),
                "files": manifest(source),
                "owner": owner,
                "group": group,
                "on_delete": on_delete,
            },
            opts=opts,
        )
