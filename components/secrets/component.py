"""Secrets for a container: files on the host that only this container can read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
from pulumi import ResourceOptions

from portcullis.config.arguments import faults_in
from portcullis.config.faults import ArgumentsError
from portcullis.config.forms import Owner, SecretName
from portcullis.config.value_types import ListOf
from portcullis.resources import Directory, File

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.host import Host

FOLDER = "/etc/portcullis/secrets"
"""The folder of all secrets on the host. Only root can enter it."""


class SecretFiles(pulumi.ComponentResource):
    """A folder of secrets below `/etc/portcullis/secrets`.

    A container mounts the folder read-only at `/run/secrets`.

    The secrets are on the disk, so a container finds them when the host boots without a deploy. Mount the
    folder, never a single file. A change replaces the file, and a container that mounts a single file would
    keep the old file.

    Attributes:
        path: the folder on the host.
        revisions: for each file, a text that changes with every write. A revision is not secret and reveals
            nothing. Use a revision where something must change with the file, such as in a label of the
            container.

    Example:
        ```python
        import pulumi

        from portcullis.components import SecretFiles
        from portcullis.host import Connection, Host, write_ssh_config

        HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq"

        write_ssh_config({"web1": Connection("203.0.113.10", host_key=HOST_KEY)})
        files = {"stripe_key": pulumi.Output.secret("sk_live_…")}
        SecretFiles("web1-api", files, owner="1000:1000", host=Host("web1"))
        ```
    """

    path: str
    revisions: dict[str, pulumi.Output[str]]

    def __init__(
        self,
        name: str,
        files: Mapping[str, pulumi.Input[str]],
        *,
        owner: str,
        host: Host,
        opts: ResourceOptions | None = None,
    ) -> None:
        """Declare the secrets.

        Args:
            name: the component's name, such as "web1-redis". The folder has the same name.
            files: file name to content. Every content becomes a secret, even if you did not mark it.
            owner: the container's user and group as numbers, such as "999:999"; never root.
            host: the host. With `adopt`, existing files with other content are taken over.
            opts: options of the component.

        Raises:
            ArgumentsError: the owner or a file name is invalid. The error names every fault.
        """
        faults = faults_in(Owner, owner, "SecretFiles.owner")
        faults += faults_in(ListOf[SecretName], files, "SecretFiles.files")
        if faults:
            raise ArgumentsError(faults)
        super().__init__("portcullis:index:SecretFiles", name, None, opts)
        self.path = f"{FOLDER}/{name}"
        user, group = owner.split(":")
        folder = Directory(
            f"{name}-folder",
            host=host,
            path=self.path,
            owner=user,
            group=group,
            mode="0500",
            # The host may have a user with the same number. The parent folder keeps that user out.
            make_parents=True,
            opts=ResourceOptions(parent=self),
        )
        made = {
            file: File(
                f"{name}-{file}",
                host=host,
                path=f"{self.path}/{file}",
                content=pulumi.Output.secret(content),
                owner=user,
                group=group,
                mode="0400",
                opts=ResourceOptions(parent=self, depends_on=[folder]),
            )
            for file, content in sorted(files.items())
        }
        self.revisions = {file: each.revision for file, each in made.items()}
        self.register_outputs({"path": self.path, "files": sorted(made)})
