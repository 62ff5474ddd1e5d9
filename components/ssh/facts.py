"""The data that both halves of `SshServer` exchange, and the constants that both use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional

from portcullis.agent.guarded import GuardedDesired
from portcullis.agent.wire import Facts, Spec

SERVER = "sshd"
"""The id of a host's one SSH server."""
DROP_IN = "sshd_config.d/10-portcullis.conf"
"""Our file, below /etc/ssh. Its name sorts before the files of hosting providers and cloud-init: for most
options sshd takes the first line that it reads."""
MODE = "0600"
"""The file's mode. Its owner is root."""
ALLOW = "allow"
"""A port has this value if it has the SSH server's rule in every address family that ufw filters."""

# The drop-in ends with a Match block that repeats these options, so that a Match block in a later file cannot
# change them for some users. A Match block in an earlier file still can, and then shows as a difference.
ENTRANCE = (
    "PermitRootLogin",
    "PubkeyAuthentication",
    "AuthenticationMethods",
    "PasswordAuthentication",
    "KbdInteractiveAuthentication",
    "PermitEmptyPasswords",
    "HostbasedAuthentication",
    "GSSAPIAuthentication",
    "AuthorizedKeysFile",
    "AuthorizedKeysCommand",
    "TrustedUserCAKeys",
)
"""Options that decide how users log in."""

Options = Mapping[str, str]
"""Options of sshd_config(5): keyword to value. A value has one line."""


@dataclass(frozen=True)
class SshServerSpec(Spec):
    """How to read the server. It holds the declared options, because sshd itself compares them.

    Attributes:
        content: text of the drop-in.
        options: options that must be in effect for every user.
        port: TCP port.
        login: the user that deploys. sshd is asked for the options of this user too.
        users: options that must be in effect for single users: user to options.
        accepted: undeclared files that sshd may read.
    """

    content: str
    options: Options
    port: str
    login: str
    users: Mapping[str, Options] = field(default_factory=dict)
    accepted: Sequence[str] = ()


@dataclass(frozen=True)
class SshServerDesired(GuardedDesired):
    """The server as it is declared.

    Attributes:
        content: text of the drop-in, with one line `Port PORT`.
        options: options that must be in effect for every user.
        port: TCP port.
        users: options that must be in effect for single users: user to options.
        listen_also: ports on which sshd also listens until a login on `port` has worked.
        pinned: type of the host key that the settings pin, such as ssh-ed25519. "" if they pin none.
        strangers: empty. In a state that was read back: the undeclared files that sshd reads.
        accepted: undeclared files that sshd may read, each with the reason.
    """

    content: str
    options: Options
    port: str
    users: Mapping[str, Options] = field(default_factory=dict)
    listen_also: Sequence[str] = ()
    pinned: str = ""
    strangers: Mapping[str, str] = field(default_factory=dict)
    accepted: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Return the fixed id: a host has one SSH server."""
        return SERVER

    def spec(self) -> SshServerSpec:
        """Return how to read this server."""
        login, accepted = self.login or "root", sorted(self.accepted)
        return SshServerSpec(self.content, self.options, self.port, login, self.users, accepted)


@dataclass(frozen=True)
class SshServerFacts(Facts):
    """The server as it is on the host.

    Attributes:
        content: text of our drop-in, or `wire.ABSENT`.
        mode: the drop-in's mode, with the owner if that is not root.
        port: the ports as a text for people. It names those that sshd listens on, and those that it should
            listen on but does not.
        options: each declared option with the declared value if that is in effect. Otherwise with the value
            in effect, the user that it holds for, and the cause.
        users: the same for single users.
        firewall: each port with the SSH server's rule: `ALLOW` or ``in part``. None without ufw.
        stale: whether a file that sshd reads is newer than the configuration that it runs on.
        broken: why sshd refuses its files, or that it is stopped; "" if sshd works.
        ports: ports on which sshd can be reached.
        ports_before: ports on which sshd could be reached before our first change.
        owner: the owner that declares the server; "" if none does.
        strangers: undeclared files that sshd reads, by path: what each sets.
    """

    content: str = ""
    mode: str = ""
    port: str = ""
    options: Options = field(default_factory=dict)
    users: Mapping[str, Options] = field(default_factory=dict)
    firewall: Optional[Mapping[str, str]] = None
    stale: bool = False
    broken: str = ""
    ports: Sequence[str] = ()
    ports_before: Sequence[str] = ()
    owner: str = ""
    strangers: Mapping[str, str] = field(default_factory=dict)
