"""The component for users: only declared users may log in to a host or become root."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
from pulumi import ResourceOptions

from portcullis.components.users.args import UserArgs
from portcullis.components.users.resource.administrators import Administrators
from portcullis.components.users.resource.user import User
from portcullis.resources import Packages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portcullis.components.users.args import UsersArgs
    from portcullis.host import Host

_ROOT = "root"
_UNDECLARED = (
    "{host}: root deploys, but its keys are not declared, so every key of root on the host stays valid."
    " Declare these keys, `users: {{root: {{keys: {{laptop: ssh-ed25519 AAAA…}}}}}}`, or deploy as another "
    "user"
)


class Users(pulumi.ComponentResource):
    """Accounts with keys and without passwords. Only declared users may become root.

    If another user deploys, root keeps only the keys that are declared for the user root. If the first `up`
    logged in as root with a key, it removes that key only after the other user has logged in. If root deploys
    and has no declared keys, all keys of root stay, and a warning says how to declare them.

    Declare the users before `SshAccess`, which may refuse root. Then only these users can log in.

    Example:
        ```python
        from portcullis.components import UserArgs, Users, UsersArgs
        from portcullis.host import Connection, Host, write_ssh_config

        HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq"
        LAPTOP = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO2q8YREHwHGm/XQKhkVbx8c7BWkBJUW+xFGrlQUqG8U"

        write_ssh_config({"web1": Connection("203.0.113.10", user="deploy", host_key=HOST_KEY)})
        Users(
            "web1-users",
            UsersArgs(users={"deploy": UserArgs(keys={"laptop": LAPTOP}, sudo=True)}, login="deploy"),
            host=Host("web1", os="debian-13"),
        )
        ```
    """

    def __init__(
        self,
        name: str,
        args: UsersArgs,
        *,
        host: Host,
        sudoers: Sequence[str] = (),
        opts: ResourceOptions | None = None,
    ) -> None:
        """Declare the users.

        Args:
            name: the component's name, such as "web1-users".
            args: the users. If a package creates a group of the users, add this package to `depends_on`.
            host: the host. If the host has `adopt`, `up` changes existing accounts that differ, and takes the
                right to become root from all other users.
            sudoers: paths below /etc/sudoers.d that other resources of the host declare.
            opts: options of the component.
        """
        super().__init__("portcullis:index:Users", name, None, opts)
        # A minimal image where root logs in may lack sudo.
        packages = Packages(f"{name}-packages", host=host, names=["sudo"], opts=ResourceOptions(parent=self))
        users: list[pulumi.Resource] = []
        declared = dict(args.users)
        if args.login != _ROOT:
            declared.setdefault(_ROOT, UserArgs())
        elif _ROOT not in declared:
            pulumi.log.warn(_UNDECLARED.format(host=host.alias), resource=self)
        # The user who deploys comes first: a login as this user confirms the changes to the other users.
        for user in sorted(declared, key=lambda user: (user != args.login, user)):
            made = User(
                f"{name}-{user}",
                host=host,
                user=user,
                keys=declared[user].keys,
                sudo=declared[user].sudo,
                groups=args.groups.get(user),
                opts=ResourceOptions(parent=self, depends_on=[packages, *users[:1]]),
            )
            users.append(made)
        Administrators(
            f"{name}-administrators",
            host=host,
            users=[user for user in args.users if args.users[user].sudo or user in args.groups],
            files=sudoers,
            opts=ResourceOptions(parent=self, depends_on=[packages, *users]),
        )
        self.register_outputs({"users": sorted(args.users)})
