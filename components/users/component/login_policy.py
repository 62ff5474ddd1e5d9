"""The component for the login policy: rules for all users of a host, and forbidden kernel modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
from pulumi import ResourceOptions

from portcullis.components.users import render as login_policy
from portcullis.resources import File

if TYPE_CHECKING:
    from portcullis.components.users.args import LoginPolicyArgs
    from portcullis.host import Host


class LoginPolicy(pulumi.ComponentResource):
    """Rules against core dumps, idle shells, and kernel modules that a server does not need.

    Example:
        ```python
        from portcullis.components import LoginPolicy, LoginPolicyArgs
        from portcullis.host import Connection, Host, write_ssh_config

        HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq"

        write_ssh_config({"web1": Connection("203.0.113.10", host_key=HOST_KEY)})
        LoginPolicy("web1-login", LoginPolicyArgs(idle=600), host=Host("web1", os="debian-13"))
        ```
    """

    def __init__(
        self, name: str, args: LoginPolicyArgs, *, host: Host, opts: ResourceOptions | None = None
    ) -> None:
        """Declare the login policy.

        Args:
            name: the component's name, such as "web1-login".
            args: the settings of the login policy.
            host: the host. If the host has `adopt`, `up` replaces existing files that differ from the
                declared files.
            opts: options of the component.
        """
        super().__init__("portcullis:index:LoginPolicy", name, None, opts)
        parts = {
            f"{name}-modules": (
                login_policy.MODULES_PATH,
                login_policy.modules(f"{name}-modules", ipsec=args.ipsec),
            ),
            f"{name}-limits": (login_policy.LIMITS_PATH, login_policy.limits(f"{name}-limits")),
            f"{name}-profile": (
                login_policy.PROFILE_PATH,
                login_policy.profile(f"{name}-profile", args.idle),
            ),
        }
        for part, (path, content) in parts.items():
            File(part, host=host, path=path, content=content, opts=ResourceOptions(parent=self))
        self.register_outputs({})
