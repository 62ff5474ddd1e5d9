"""Secrets for a container: files on the host that it alone can read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi
from pulumi import ResourceOptions

from portcullis.config.arguments import validate
from portcullis.config.forms import Alias, Owner, SecretName
from portcullis.config.kinds import ListOf
from portcullis.resources import Directory, File

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = "/etc/portcullis/secrets"
"""Where they are on the host; root alone can enter."""


@dataclass(frozen=True, slots=True)
class SecretFilesArgs:
    """The secrets of one container.

    Attributes:
        host: alias of the host.
        owner: the container's user and group by number, such as "999:999"; never root.
        files: what each file holds, by its name. Every content is a secret, marked or not.
        adopt: take over files that are there and differ.
        after: what has to be done before.

    Raises:
        ValueError: naming every attribute that cannot be used.
    """

    host: str
    owner: str
    files: Mapping[str, pulumi.Input[str]]
    adopt: bool = False
    after: tuple[pulumi.Resource, ...] = ()

    def __post_init__(self) -> None:
        """Check what would otherwise fail on the host."""
        validate(self, {"host": Alias, "owner": Owner, "files": ListOf[SecretName]})


class SecretFiles(pulumi.ComponentResource):
    """A folder of secrets, `/etc/portcullis/secrets/NAME`, to be mounted read-only at `/run/secrets`.

    They are on the disk, so that a container finds them when the host starts without us. Mount the folder
    and never a single file: a change puts a new file in the place of the old one, and a container that was
    given the old file itself would keep it.

    Attributes:
        path: the folder on the host.
        revisions: by file, a text that changes with every write. It is no secret and says nothing of one:
            give it to what has to follow, such as a label of the container.
        ready: what has to be there before the container starts.
    """

    path: str
    revisions: dict[str, pulumi.Output[str]]
    ready: list[pulumi.Resource]

    def __init__(self, name: str, args: SecretFilesArgs, opts: ResourceOptions | None = None) -> None:
        """Declare them under `name`, such as "web1-redis"; the folder bears that name too."""
        super().__init__("portcullis:index:SecretFiles", name, None, opts)
        self.path = f"{FOLDER}/{name}"
        owner, group = args.owner.split(":")
        folder = Directory(
            f"{name}-folder",
            host=args.host,
            path=self.path,
            owner=owner,
            group=group,
            mode="0500",
            # The host may have a user of the same number, who is kept out by the folder above.
            make_parents=True,
            adopt=args.adopt,
            opts=ResourceOptions(parent=self, depends_on=[*args.after]),
        )
        files = {
            file: File(
                f"{name}-{file}",
                host=args.host,
                path=f"{self.path}/{file}",
                content=pulumi.Output.secret(content),
                owner=owner,
                group=group,
                mode="0400",
                adopt=args.adopt,
                opts=ResourceOptions(parent=self, depends_on=[folder]),
            )
            for file, content in sorted(args.files.items())
        }
        self.revisions = {file: made.revision for file, made in files.items()}
        self.ready = [folder, *files.values()]
        self.register_outputs({"path": self.path, "files": sorted(files)})
