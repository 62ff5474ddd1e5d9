"""The data about the SSH server that the provider and the host exchange, and constants for both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from portcullis.agent.guarded import GuardedDesired
from portcullis.agent.wire import Facts, Spec

SERVER = "sshd"
"""The id of the only SSH server of a host."""
DROP_IN = "sshd_config.d/10-portcullis.conf"
"""The path of our drop-in, below /etc/ssh. The drop-in's name sorts before the files of hosting providers and
cloud-init. For most options, sshd uses only the first line that it reads."""
MODE = "0600"
"""The mode of our drop-in. The file's owner is root."""
ALLOW = "allow"
"""The value of a port that has the SSH server's rule in every address family that ufw filters."""

# The drop-in ends with a Match block that repeats these options, so that a Match block in a later file cannot
# change them for some users. A Match block in an earlier file can still change them, and then shows as a
# difference.
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
"""Options of sshd_config(5), as a map of keyword to value. A value is one line of text."""


@dataclass(frozen=True)
class SshServerSpec(Spec):
    """The data that the agent needs to read the SSH server.

    The spec holds the declared options, because sshd itself compares them.

    Attributes:
        content: text of the drop-in.
        options: options that must be in effect for every user.
        port: TCP port.
        login: the user that deploys. The agent asks sshd for the options of this user, too.
        users: options that must be in effect for single users only, by user.
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
    """The SSH server as declared.

    Attributes:
        content: text of the drop-in, with one line `Port PORT`.
        options: options that must be in effect for every user.
        port: TCP port.
        users: options that must be in effect for single users only, by user.
        listen_also: ports on which sshd also listens until a login on `port` has worked.
        pinned: type of the host key that the settings pin, such as ssh-ed25519; "" if the settings pin no
            key.
        undeclared: the declared value is an empty map. After a refresh, the map has the undeclared files that
            sshd reads.
        accepted: undeclared files that sshd may read, each with the reason.
    """

    content: str
    options: Options
    port: str
    users: Mapping[str, Options] = field(default_factory=dict)
    listen_also: Sequence[str] = ()
    pinned: str = ""
    undeclared: Mapping[str, str] = field(default_factory=dict)
    accepted: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Return the fixed id: a host has one SSH server."""
        return SERVER

    def spec(self) -> SshServerSpec:
        """Return the data that the agent needs to read this server."""
        login, accepted = self.login or "root", sorted(self.accepted)
        return SshServerSpec(self.content, self.options, self.port, login, self.users, accepted)


@dataclass(frozen=True)
class SshServerFacts(Facts):
    """The SSH server on the host.

    Attributes:
        content: text of our drop-in, or `wire.ABSENT`.
        mode: the drop-in's mode, and also its owner if the owner is not root.
        port: the ports as a text for people. The text names the ports on which sshd listens, and the ports on
            which it should listen but does not.
        options: each declared option with the declared value, if sshd uses this value. For any other option,
            the map has the value in effect, the user with this value, and the cause.
        users: the options of single users, in the same form as `options`.
        firewall: each port that has the SSH server's rule, with `ALLOW` or ``in part``; None without ufw.
        stale: whether a file that sshd reads is newer than the configuration that sshd runs on.
        broken: a text that says why sshd refuses its files, or that sshd is stopped; "" if sshd works.
        ports: ports on which clients can reach sshd.
        ports_before: ports on which clients could reach sshd before our first change.
        owner: the URN of the resource that declares the server; "" if no resource declares it.
        undeclared: undeclared files that sshd reads: by path, the options that the file sets.
        fixes: for each of `undeclared` its severity, the action that repairs it, and the action's operands.
    """

    content: str = ""
    mode: str = ""
    port: str = ""
    options: Options = field(default_factory=dict)
    users: Mapping[str, Options] = field(default_factory=dict)
    firewall: Mapping[str, str] | None = None
    stale: bool = False
    broken: str = ""
    ports: Sequence[str] = ()
    ports_before: Sequence[str] = ()
    owner: str = ""
    undeclared: Mapping[str, str] = field(default_factory=dict)
    fixes: Mapping[str, Sequence[str]] = field(default_factory=dict)
