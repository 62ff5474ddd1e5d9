"""Who logs in to a host and who may become root there: the declared ones, and nobody else."""

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
    "{host}: root deploys, and its keys are not declared: whatever key stands there lets somebody in. Declare"
    " them, `users: {{root: {{keys: {{laptop: ssh-ed25519 AAAA…}}}}}}`, or deploy as another user"
)


class Users(pulumi.ComponentResource):
    """Accounts with keys and without passwords. Only declared users become root.

    Root's own keys are managed as soon as another user deploys: none, unless root is one of the users. The
    key that the first `up` came in with goes only after that user has logged in afresh. Where root itself
    deploys and declares no keys, they stay as they are, and a warning says how to declare them.

    Declare them before `SshAccess` narrows root's own login: by then the users can log in.

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
        """Declare them.

        Args:
            name: the component's name, such as "web1-users".
            args: the users. Packages that bring one of their groups have to be there before.
            host: the host that they log in to. With `adopt`, accounts that are there and differ are taken
                over, and whoever else may become root there may not any more.
            sudoers: paths below /etc/sudoers.d that other resources of the host declare.
            opts: options of the component.
        """
        super().__init__("portcullis:index:Users", name, None, opts)
        # A bare image that lets in root need not have it.
        packages = Packages(f"{name}-packages", host=host, names=["sudo"], opts=ResourceOptions(parent=self))
        users: list[pulumi.Resource] = []
        declared = dict(args.users)
        if args.login != _ROOT:
            declared.setdefault(_ROOT, UserArgs())
        elif _ROOT not in declared:
            pulumi.log.warn(_UNDECLARED.format(host=host.alias), resource=self)
        # Who deploys is first: what is done to the others is confirmed by that login.
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
