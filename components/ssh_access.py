"""Who gets in to a host over SSH, and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import pulumi
from pulumi import ResourceOptions

from components.arguments import validate
from portcullis.host import Packages, SshServer, User
from portcullis.render import sshd
from portcullis.render.dialect import DIALECTS
from portcullis.settings import forms
from portcullis.settings.faults import Fault, Place
from portcullis.settings.kinds import Choice, ListOf, MapOf

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.settings.model import UserSettings

_ROOT = "root"
_ROOT_LOGIN = Choice("a rule for root", ("prohibit-password", "no"), {})
_KEYS = MapOf(forms.KEY_NAME, forms.LOGIN_KEY)


@dataclass(frozen=True, slots=True)
class SshAccessArgs:
    """What is particular about it.

    Attributes:
        host: alias of the host.
        os: its operating system, which decides what its OpenSSH understands.
        port: TCP port of SSH, the same as the host's in the settings.
        login: the user who deploys, the same as the host's in the settings.
        users: who may log in, by name, with their keys; `root` too, whose keys are then these.
        root_login: root with a key only, or not at all.
        exempt: addresses and networks that sshd never makes wait after failed logins.
        options: options of sshd_config that differ from ours.
        ufw: install ufw, whose rule for the port is kept here. Without it, and without ufw on the host, the
            port is open as nothing filters it.
        adopt: replace what is there and differs, and put lines of others that win over ours out of force.

    Raises:
        ValueError: naming every attribute that cannot be used.
    """

    host: str
    os: str
    port: int = 22
    login: str = "root"
    users: Mapping[str, UserSettings] = field(default_factory=dict)
    root_login: Literal["prohibit-password", "no"] = "prohibit-password"
    exempt: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    ufw: bool = True
    adopt: bool = False

    def __post_init__(self) -> None:
        """Check what would otherwise fail on the host."""
        validate(
            self,
            {
                "host": forms.ALIAS,
                "os": forms.OS,
                "port": forms.PORT,
                "login": forms.LOGIN,
                "root_login": _ROOT_LOGIN,
                "exempt": ListOf(forms.NETWORK),
                "options": ListOf(forms.SSHD_KEYWORD),
                "users": ListOf(forms.LOGIN),
            },
        )
        faults: list[Fault] = []
        at = Place("SshAccessArgs.users", faults)
        for name, user in self.users.items():
            _KEYS.read(dict(user.keys), at.key(name).key("keys"))
            if name == self.login and not user.keys:
                at.key(name).key("keys").report(
                    "is empty, and this user deploys", "name the key that deploys"
                )
            if name == self.login != _ROOT and not user.sudo:
                at.key(name).key("sudo").report(
                    "is off, and this user deploys", "set sudo: all of it needs root"
                )
        if faults:
            raise ValueError("\n".join(map(str, faults)))
        if self.root_login == "no" and self.login == _ROOT:
            raise ValueError(
                "SshAccessArgs.root_login: refuses root, who is to log in; "
                "name a user with sudo as login, or write prohibit-password"
            )


class SshAccess(pulumi.ComponentResource):
    """Keys only, one port, and nobody locked out on the way there.

    Attributes:
        ready: what has to be there before anything else may narrow access.
    """

    ready: list[pulumi.Resource]

    def __init__(self, name: str, args: SshAccessArgs, opts: ResourceOptions | None = None) -> None:
        """Declare it under `name`, such as "web1-ssh"."""
        super().__init__("portcullis:index:SshAccess", name, None, opts)
        packages = Packages(
            f"{name}-packages",
            host=args.host,
            names=["openssh-server", "sudo", *(["ufw"] if args.ufw else [])],
            opts=ResourceOptions(parent=self),
        )
        users = self._users(name, args, [packages])
        dialect = DIALECTS[args.os]
        options = sshd.SshdOptions(
            port=args.port,
            login=args.login,
            root_login=args.root_login,
            exempt=args.exempt,
            more=args.options,
        )
        server = SshServer(
            f"{name}-server",
            host=args.host,
            content=sshd.drop_in(f"{name}-server", options, dialect),
            options=sshd.effective_options(options, dialect),
            port=args.port,
            login=args.login,
            adopt=args.adopt,
            # Root may be refused only once another login has worked, which each user's own commit proves.
            opts=ResourceOptions(parent=self, depends_on=[packages, *users]),
        )
        self.ready = [*users, server]
        self.register_outputs({"port": server.port})

    def _users(self, name: str, args: SshAccessArgs, after: list[pulumi.Resource]) -> list[pulumi.Resource]:
        """Declare the user who deploys, then the others: every commit is confirmed by that login."""
        made: list[pulumi.Resource] = []
        for user in sorted(args.users, key=lambda user: (user != args.login, user)):
            resource = User(
                f"{name}-user-{user}",
                host=args.host,
                user=user,
                keys=args.users[user].keys,
                sudo=args.users[user].sudo,
                adopt=args.adopt,
                opts=ResourceOptions(parent=self, depends_on=[*after, *made[:1]]),
            )
            made.append(resource)
        return made
