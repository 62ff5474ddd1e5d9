"""What holds for everybody who logs in to a host, and which kernel modules stay out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pulumi
from pulumi import ResourceOptions

from portcullis.components.users import render as login_policy
from portcullis.config.arguments import validate
from portcullis.config.forms import Alias
from portcullis.config.kinds import Number
from portcullis.resources import File

_Idle = Annotated[int, Number("a number of seconds", 60, 86400)]


@dataclass(frozen=True, slots=True)
class LoginPolicyArgs:
    """What is particular about it.

    Attributes:
        host: alias of the host.
        idle: seconds after which a shell that waits for a command ends.
        adopt: replace files that are there and differ.

    Raises:
        ValueError: naming every attribute that cannot be used.
    """

    host: str
    idle: int = 1800
    adopt: bool = False

    def __post_init__(self) -> None:
        """Check what would otherwise become a broken file."""
        validate(self, {"host": Alias, "idle": _Idle})


class LoginPolicy(pulumi.ComponentResource):
    """No core dumps, no forgotten shells, no kernel modules that a server does not need.

    Attributes:
        ready: its resources; nothing has to wait for them.
    """

    ready: list[pulumi.Resource]

    def __init__(self, name: str, args: LoginPolicyArgs, opts: ResourceOptions | None = None) -> None:
        """Declare it under `name`, such as "web1-login"."""
        super().__init__("portcullis:index:LoginPolicy", name, None, opts)
        parts = {
            f"{name}-modules": (login_policy.MODULES_PATH, login_policy.modules(f"{name}-modules")),
            f"{name}-limits": (login_policy.LIMITS_PATH, login_policy.limits(f"{name}-limits")),
            f"{name}-profile": (
                login_policy.PROFILE_PATH,
                login_policy.profile(f"{name}-profile", args.idle),
            ),
        }
        self.ready = [
            File(
                part,
                host=args.host,
                path=path,
                content=content,
                adopt=args.adopt,
                opts=ResourceOptions(parent=self),
            )
            for part, (path, content) in parts.items()
        ]
        self.register_outputs({})
