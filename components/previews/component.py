"""The components of the preview key. With this key CI can read a host, but not change it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
import pulumi_tls as tls
from pulumi import ResourceOptions

from portcullis.components.previews import render as preview
from portcullis.components.users.resource.user import User
from portcullis.resources import Directory, File

if TYPE_CHECKING:
    from portcullis.components.previews.args import PreviewArgs
    from portcullis.host import Host


class PreviewKey(pulumi.ComponentResource):
    """The key of a stack for previews. All hosts of the stack accept the same key.

    Example:
        ```python
        import pulumi

        from portcullis.components import PreviewAccess, PreviewArgs, PreviewKey, SshAccess, SshArgs
        from portcullis.host import Connection, Host, write_ssh_config

        HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq"

        write_ssh_config({"web1": Connection("203.0.113.10", host_key=HOST_KEY)})
        host = Host("web1", os="debian-13")
        key = PreviewKey("preview")
        access = SshAccess("web1-ssh", SshArgs(), host=host, preview=True)
        PreviewAccess(
            "web1-preview",
            PreviewArgs(),
            host=host,
            key=key.public_key,
            opts=pulumi.ResourceOptions(depends_on=[access]),
        )
        pulumi.export("previewKey", key.private_key)
        ```

    Attributes:
        public_key: the public key as a line, the argument `key` of `PreviewAccess`.
        private_key: the private key in OpenSSH's format, a secret.
    """

    public_key: pulumi.Output[str]
    private_key: pulumi.Output[str]

    def __init__(self, name: str, *, opts: ResourceOptions | None = None) -> None:
        """Make the key.

        Args:
            name: the component's name, such as "preview".
            opts: options of the component.
        """
        super().__init__("portcullis:index:PreviewKey", name, None, opts)
        made = tls.PrivateKey(f"{name}-key", algorithm="ED25519", opts=ResourceOptions(parent=self))
        self.public_key = made.public_key_openssh.apply(lambda line: f"{line.strip()} {preview.ACCOUNT}")
        self.private_key = pulumi.Output.secret(made.private_key_openssh)
        self.register_outputs({})


class PreviewAccess(pulumi.ComponentResource):
    """An account whose key may read a stack's resources on a host, without secrets, shell or tunnels.

    The account runs only programs that are on the host already, never a program of the client. The first
    program is the agent that the last `up` installed, in read-only mode. The second program is a view of
    Docker, which answers only the requests of a refresh. The code of a pull request runs on the machine that
    previews, not on the host.

    Declare this component after the host's `SshAccess` with `preview`: sshd must have its rules for the
    account before the account exists. If the host has `Users`, declare this component after `Users`, too, and
    pass `sudoers` to `Users`.

    Example:
        ```python
        import pulumi

        from portcullis.components import PreviewAccess, PreviewArgs, SshAccess, SshArgs
        from portcullis.host import Connection, Host, write_ssh_config

        HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq"
        CI_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO2q8YREHwHGm/XQKhkVbx8c7BWkBJUW+xFGrlQUqG8U"

        write_ssh_config({"web1": Connection("203.0.113.10", host_key=HOST_KEY)})
        host = Host("web1", os="debian-13")
        access = SshAccess("web1-ssh", SshArgs(), host=host, preview=True)
        PreviewAccess(
            "web1-preview",
            PreviewArgs(from_=["203.0.113.0/24"]),
            host=host,
            key=CI_KEY,
            opts=pulumi.ResourceOptions(depends_on=[access]),
        )
        ```
    """

    def __init__(
        self,
        name: str,
        args: PreviewArgs,
        *,
        host: Host,
        key: pulumi.Input[str],
        opts: ResourceOptions | None = None,
    ) -> None:
        """Declare the account and its programs.

        Args:
            name: the component's name, such as "web1-preview".
            args: the settings of the preview key.
            host: the host that the key may read. If the host has `adopt`, `up` replaces existing files and an
                existing account that differ from the declaration.
            key: the public key, such as `PreviewKey.public_key`.
            opts: options of the component.
        """
        super().__init__("portcullis:index:PreviewAccess", name, None, opts)
        folder = Directory(
            f"{name}-folder", host=host, path=preview.FOLDER, opts=ResourceOptions(parent=self)
        )
        stack = f"{pulumi.get_project()}/{pulumi.get_stack()}"
        after = ResourceOptions(parent=self, depends_on=[folder])
        command = File(
            f"{name}-command",
            host=host,
            path=preview.COMMAND,
            content=preview.command(f"{name}-command"),
            mode="0755",
            validate=["sh", "-n", "{path}"],
            on_delete="remove",
            opts=after,
        )
        as_root = File(
            f"{name}-as-root",
            host=host,
            path=preview.AS_ROOT,
            content=preview.as_root(f"{name}-as-root", stack),
            mode="0755",
            on_delete="remove",
            opts=after,
        )
        sudoers = File(
            f"{name}-sudoers",
            host=host,
            path=preview.SUDOERS,
            content=preview.sudoers(f"{name}-sudoers"),
            mode="0440",
            validate=["visudo", "-c", "-f", "{path}"],
            test=["visudo", "-c"],
            on_delete="remove",
            opts=ResourceOptions(parent=self, depends_on=[as_root]),
        )
        User(
            f"{name}-account",
            host=host,
            user=preview.ACCOUNT,
            keys={
                "preview": pulumi.Output.from_input(key).apply(
                    lambda line: preview.key_line(line, args.from_)
                )
            },
            shell=preview.SHELL,
            groups=(),
            system=True,
            end_sessions=True,
            on_delete="remove",
            # The account comes last: nobody can log in before its programs and rules exist.
            opts=ResourceOptions(parent=self, depends_on=[command, as_root, sudoers]),
        )
        self.register_outputs({"account": preview.ACCOUNT})
