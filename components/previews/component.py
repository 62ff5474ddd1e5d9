"""The preview key: CI looks at a host with it, and can change nothing there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi
import pulumi_tls as tls
from pulumi import ResourceOptions

from portcullis.components.previews import render as preview
from portcullis.components.users.resource.user import User
from portcullis.config.arguments import validate
from portcullis.config.forms import Alias, Network
from portcullis.config.kinds import ListOf
from portcullis.resources import Directory, File

if TYPE_CHECKING:
    from collections.abc import Sequence


class PreviewKey(pulumi.ComponentResource):
    """One key for a stack, for whoever previews it.

    Attributes:
        public_key: a line, as `PreviewAccessArgs.key` takes it.
        private_key: in OpenSSH's format, secret.
    """

    public_key: pulumi.Output[str]
    private_key: pulumi.Output[str]

    def __init__(self, name: str, opts: ResourceOptions | None = None) -> None:
        """Make it under `name`, such as "preview"."""
        super().__init__("portcullis:index:PreviewKey", name, None, opts)
        made = tls.PrivateKey(f"{name}-key", algorithm="ED25519", opts=ResourceOptions(parent=self))
        self.public_key = made.public_key_openssh.apply(lambda line: f"{line.strip()} {preview.ACCOUNT}")
        self.private_key = pulumi.Output.secret(made.private_key_openssh)
        self.register_outputs({})


@dataclass(frozen=True, slots=True)
class PreviewAccessArgs:
    """Who may look.

    Attributes:
        host: alias of the host.
        key: the public key.
        sources: addresses and networks that it may come from; none is everywhere.
        after: what has to be there before: `ready` of the host's `SshAccess` with `preview`, and of its
            `Users` with `sudoers`.
        adopt: replace files and an account that are there and differ.

    Raises:
        ValueError: naming every attribute that cannot be used.
    """

    host: str
    key: pulumi.Input[str]
    sources: tuple[str, ...] = ()
    after: Sequence[pulumi.Resource] = ()
    adopt: bool = False

    def __post_init__(self) -> None:
        """Check what would otherwise fail on the host."""
        validate(self, {"host": Alias, "sources": ListOf[Network]})


class PreviewAccess(pulumi.ComponentResource):
    """An account whose key reads what the stack has on a host: no secret, no change, no shell, no tunnel.

    It runs one program of the host's own, never one of its client's: the agent that `up` left there, which
    then only looks, or a view of Docker that answers the questions of a refresh. What a pull request brings
    along runs where it is previewed, and not on the host.

    Attributes:
        ready: the account.
    """

    ready: list[pulumi.Resource]

    def __init__(self, name: str, args: PreviewAccessArgs, opts: ResourceOptions | None = None) -> None:
        """Declare it under `name`, such as "web1-preview"."""
        super().__init__("portcullis:index:PreviewAccess", name, None, opts)
        own = ResourceOptions(parent=self, depends_on=[*args.after])
        folder = Directory(f"{name}-folder", host=args.host, path=preview.FOLDER, adopt=args.adopt, opts=own)
        stack = f"{pulumi.get_project()}/{pulumi.get_stack()}"
        after = ResourceOptions(parent=self, depends_on=[*args.after, folder])
        command = File(
            f"{name}-command",
            host=args.host,
            path=preview.COMMAND,
            content=preview.command(f"{name}-command"),
            mode="0755",
            validate=["sh", "-n", "{path}"],
            on_delete="remove",
            adopt=args.adopt,
            opts=after,
        )
        as_root = File(
            f"{name}-as-root",
            host=args.host,
            path=preview.AS_ROOT,
            content=preview.as_root(f"{name}-as-root", stack),
            mode="0755",
            on_delete="remove",
            adopt=args.adopt,
            opts=after,
        )
        sudoers = File(
            f"{name}-sudoers",
            host=args.host,
            path=preview.SUDOERS,
            content=preview.sudoers(f"{name}-sudoers"),
            mode="0440",
            validate=["visudo", "-c", "-f", "{path}"],
            test=["visudo", "-c"],
            on_delete="remove",
            adopt=args.adopt,
            opts=ResourceOptions(parent=self, depends_on=[*args.after, as_root]),
        )
        account = User(
            f"{name}-account",
            host=args.host,
            user=preview.ACCOUNT,
            keys={
                "preview": pulumi.Output.from_input(args.key).apply(
                    lambda line: preview.key_line(line, args.sources)
                )
            },
            shell=preview.SHELL,
            groups=(),
            system=True,
            end_sessions=True,
            on_delete="remove",
            adopt=args.adopt,
            # Last: until all of it stands, nobody comes in.
            opts=ResourceOptions(parent=self, depends_on=[*args.after, command, as_root, sudoers]),
        )
        self.ready = [account]
        self.register_outputs({"account": preview.ACCOUNT})
