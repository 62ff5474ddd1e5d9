"""What both halves of `SshServer` exchange, and the words and paths that both use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional

from portcullis.agent.guarded import GuardedDesired
from portcullis.agent.wire import Facts, Spec

SERVER = "sshd"
"""The id of a host's one SSH server."""
DROP_IN = "sshd_config.d/10-portcullis.conf"
"""Our file, below /etc/ssh. It sorts before what providers and cloud-init write: of most options, the first
line counts."""
MODE = "0600"
"""The file's mode; it is root's."""
ALLOW = "allow"
"""What ufw does with a port that has the SSH server's rule in every family that ufw filters."""

# The drop-in ends with a Match block that repeats these, so that no later file's Match block changes them for
# some. One in an earlier file still does, and shows as a difference.
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
"""Options that decide how people get in."""

Options = Mapping[str, str]
"""Options of sshd_config(5): keyword to value, on one line."""


@dataclass(frozen=True)
class SshServerSpec(Spec):
    """How to read the server: what has to hold, since sshd itself says whether it does.

    Attributes:
        content: text of the drop-in.
        options: what has to hold for everybody.
        port: TCP port.
        login: the user that deploys; options are read as they hold for them too.
        users: what has to hold for single users: name to options.
        accepted: files of others that may be among sshd's.
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
        options: what has to hold for everybody.
        port: TCP port.
        users: what has to hold for single users: name to options.
        listen_also: ports that are kept until a login on `port` has worked.
        pinned: type of the host key that the settings pin, such as ssh-ed25519; "" where they pin none.
        strangers: empty; in a state that was read back, what among sshd's files nobody declared.
        accepted: files of others that may be there, each with the reason.
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
        """A host has one server."""
        return SERVER

    def spec(self) -> SshServerSpec:
        """Return what has to hold."""
        login, accepted = self.login or "root", sorted(self.accepted)
        return SshServerSpec(self.content, self.options, self.port, login, self.users, accepted)


@dataclass(frozen=True)
class SshServerFacts(Facts):
    """The server as it is.

    Attributes:
        content: text of our drop-in, or `wire.ABSENT`.
        mode: its mode, with the owner where that is not root.
        port: the ports for people: those that it listens on, and those that are configured and it does not.
        options: each declared option with its value if that holds, else with what holds, for whom and why.
        users: the same of single users.
        firewall: each port with the SSH server's rule: `ALLOW` or ``in part``; None where there is no ufw.
        stale: a file that sshd reads is newer than what it runs on.
        broken: why sshd refuses its files or is stopped; "" where neither is so.
        ports: where it can be reached.
        ports_before: where it could be reached before we first changed it.
        owner: who declares it; "" where nobody does.
        strangers: files that sshd reads and nobody declared, by path: what each sets.
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
