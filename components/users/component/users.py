"""Who logs in to a host and who may become root there: the declared ones, and nobody else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pulumi
from pulumi import ResourceOptions

from portcullis.components.previews.render import ACCOUNT
from portcullis.components.users.resource.administrators import Administrators
from portcullis.components.users.resource.user import User
from portcullis.config.arguments import validate
from portcullis.config.forms import Alias, Login
from portcullis.config.kinds import ListOf
from portcullis.resources import Packages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.components.users.args import UserArgs


@dataclass(frozen=True, slots=True)
class UsersArgs:
    """The users of a host.

    Attributes:
        host: alias of the host.
        users: by name, each with its keys and whether it may become root.
        login: the user who deploys, the same as the host's in the settings.
        groups: supplementary groups of a user, by its name; they have to be there. Nobody else's are touched.
        sudoers: paths below /etc/sudoers.d that other resources of the host declare.
        adopt: take over accounts that are there and differ, and take away who else may become root.
        after: what has to be done before, such as the packages that bring a group.

    Raises:
        ValueError: naming every attribute that cannot be used.
    """

    host: str
    users: Mapping[str, UserArgs]
    login: str = "root"
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sudoers: tuple[str, ...] = ()
    adopt: bool = False
    after: tuple[pulumi.Resource, ...] = ()

    def __post_init__(self) -> None:
        """Check what would otherwise fail on the host."""
        validate(
            self,
            {
                "host": Alias,
                "users": ListOf[Login],
                "login": Login,
                "groups": ListOf[Login],
            },
        )
        if ACCOUNT in self.users:
            raise ValueError(f"UsersArgs.users.{ACCOUNT}: is the preview key's own; declare PreviewAccess")
        if "root" in self.users and self.users["root"].sudo:
            raise ValueError("UsersArgs.users.root: sudo says nothing of root, who is it already")
        for name in self.groups:
            if name not in self.users:
                raise ValueError(f"UsersArgs.groups: {name!r} is none of the users")


class Users(pulumi.ComponentResource):
    """Accounts with keys and without passwords; nobody becomes root who is not declared.

    Attributes:
        ready: what has to be there before root's own login may be narrowed.
    """

    ready: list[pulumi.Resource]

    def __init__(self, name: str, args: UsersArgs, opts: ResourceOptions | None = None) -> None:
        """Declare them under `name`, such as "web1-users"."""
        super().__init__("portcullis:index:Users", name, None, opts)
        # A bare image that lets in root need not have it.
        packages = Packages(
            f"{name}-packages", host=args.host, names=["sudo"], opts=ResourceOptions(parent=self)
        )
        after = [*args.after, packages]
        users: list[pulumi.Resource] = []
        # Who deploys is first: what is done to the others is confirmed by that login.
        for user in sorted(args.users, key=lambda user: (user != args.login, user)):
            made = User(
                f"{name}-{user}",
                host=args.host,
                user=user,
                keys=args.users[user].keys,
                sudo=args.users[user].sudo,
                groups=args.groups.get(user),
                adopt=args.adopt,
                opts=ResourceOptions(parent=self, depends_on=[*after, *users[:1]]),
            )
            users.append(made)
        administrators = Administrators(
            f"{name}-administrators",
            host=args.host,
            users=[user for user in args.users if args.users[user].sudo or user in args.groups],
            files=args.sudoers,
            adopt=args.adopt,
            opts=ResourceOptions(parent=self, depends_on=[*after, *users]),
        )
        self.ready = [*users, administrators]
        self.register_outputs({"users": sorted(args.users)})
