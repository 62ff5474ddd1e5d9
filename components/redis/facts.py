"""The data about a Redis user that the provider and the host exchange."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from portcullis.agent.wire import ABSENT, Desired, Facts, Spec

DEFAULT = "default"
"""The user of every client that has not logged in."""
DECLARED = "as declared"
"""The value of `line` or `running` if the user in the ACL file, or in the running server, is as declared."""
OFF = "off, no password, no rights"
"""The value of `default` if the user `DEFAULT` is switched off, as declared."""
TRUSTED = "trusted"
"""The value of `certificate` if the server's certificate is valid."""
FILE_MODE = 0o640
"""Permission bits of the ACL file."""


def sha256(password: str) -> str:
    """Return the hash that Redis keeps of a password and compares at a login."""
    return hashlib.sha256(password.encode()).hexdigest()


def file_ownership(gid: str) -> str:
    """Return the declared owner, group and mode of the ACL file."""
    return f"0:{gid} {FILE_MODE:04o}"


@dataclass(frozen=True)
class RedisUserSpec(Spec):
    """The user to read, the server of the user, and the declared values.

    Attributes:
        acl: path of the server's ACL file.
        user: the user's name.
        address: the host's address and port at which Docker publishes the server.
        container: name of the server's container. The agent logs in to this container and nowhere else.
        ops: path of the file with the name and password of a user who may change users.
        rules: the rights of the user, as in ACL SETUSER.
        gid: number of the group that the server runs as.
        hash: SHA-256 of the user's password in hex, as in the ACL file.
        ca: path of the certificate of the server's authority. With `ca`, the agent uses TLS.
        keeper: whether this user's resource also manages the ACL file, `DEFAULT` and undeclared users.
    """

    acl: str
    user: str
    address: str
    container: str
    ops: str
    rules: str
    gid: str
    hash: str = field(repr=False)
    ca: str | None = None
    keeper: bool = False


@dataclass(frozen=True)
class RedisUserDesired(Desired):
    """A user as declared.

    Attributes:
        acl: path of the server's ACL file.
        user: the user's name.
        address: the host's address and port at which Docker publishes the server.
        container: name of the server's container. The agent logs in to this container and nowhere else.
        ops: path of the file with the name and password of a user who may change users.
        password: the user's password.
        rules: the rights of the user, as in ACL SETUSER.
        gid: number of the group that the server runs as.
        ca: path of the certificate of the server's authority. With `ca`, the agent uses TLS.
        keeper: whether this user's resource also manages the ACL file, `DEFAULT` and undeclared users.
    """

    acl: str
    user: str
    address: str
    container: str
    ops: str
    password: str = field(repr=False)
    rules: str
    gid: str
    ca: str | None = None
    keeper: bool = False

    @property
    def id(self) -> str:
        """The path of the server's ACL file and the user's name."""
        return f"{self.acl}:{self.user}"

    def spec(self) -> RedisUserSpec:
        """Return the declaration, with the hash of the password instead of the password."""
        return RedisUserSpec(
            acl=self.acl,
            user=self.user,
            address=self.address,
            container=self.container,
            ops=self.ops,
            rules=self.rules,
            gid=self.gid,
            hash=sha256(self.password),
            ca=self.ca,
            keeper=self.keeper,
        )


@dataclass(frozen=True)
class RedisUserFacts(Facts):
    """A user on the host. Without `keeper` in the spec, `default`, `undeclared` and `file` are None.

    Attributes:
        line: the user's line in the ACL file: `DECLARED`, `ABSENT`, or the line that differs.
        running: the user in the running server: `DECLARED`, `ABSENT`, or the rules that differ. If no server
            runs, the value is `DECLARED`.
        certificate: `TRUSTED`, or the fault of the server's certificate; None without TLS.
        default: the user `DEFAULT`: `OFF`, or the rules that differ.
        undeclared: undeclared users, each with the place where the agent found the user.
        file: owner, group and mode of the ACL file; see `file_ownership`.
    """

    line: str = ABSENT
    running: str = ABSENT
    certificate: str | None = None
    default: str | None = None
    undeclared: Mapping[str, str] | None = None
    file: str | None = None
