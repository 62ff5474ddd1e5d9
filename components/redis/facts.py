"""The data that both halves of `RedisUser` exchange."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional

from portcullis.agent.wire import ABSENT, Desired, Facts, Spec

DEFAULT = "default"
"""The user of every client that has not logged in."""
DECLARED = "as declared"
"""The value of a user's line, in the file or in the running server, if it is as declared."""
OFF = "off, no password, no rights"
"""The value of the user `DEFAULT` if it is as declared."""
TRUSTED = "trusted"
"""The value of the server's certificate if it is valid."""
FILE_MODE = 0o640
"""Permission bits of the ACL file."""


def sha256(password: str) -> str:
    """Return the hash that Redis keeps of a password and compares at a login."""
    return hashlib.sha256(password.encode()).hexdigest()


def file_ownership(gid: str) -> str:
    """Return owner, group and mode of the ACL file as they should be."""
    return f"0:{gid} {FILE_MODE:04o}"


@dataclass(frozen=True)
class RedisUserSpec(Spec):
    """The user to read, the server of the user, and what is declared.

    Attributes:
        acl: path of the server's ACL file.
        user: the user's name.
        address: address and port of the host that lead to the server.
        container: name of the server's container. The agent logs in there and nowhere else.
        ops: path of the file with the name and password of a user who may change users.
        rules: what the user may do, as in ACL SETUSER.
        gid: number of the group that the server runs as.
        hash: SHA-256 of the user's password in hex, as Redis keeps it.
        ca: path of the certificate authority of the server. With it the agent uses TLS.
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
    ca: Optional[str] = None
    keeper: bool = False


@dataclass(frozen=True)
class RedisUserDesired(Desired):
    """A user as declared.

    Attributes:
        acl: path of the server's ACL file.
        user: the user's name.
        address: address and port of the host that lead to the server.
        container: name of the server's container. The agent logs in there and nowhere else.
        ops: path of the file with the name and password of a user who may change users.
        password: the user's password.
        rules: what the user may do, as in ACL SETUSER.
        gid: number of the group that the server runs as.
        ca: path of the certificate authority of the server. With it the agent uses TLS.
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
    ca: Optional[str] = None
    keeper: bool = False

    @property
    def id(self) -> str:
        """The server's ACL file, and the user's name."""
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
    """A user on the host. Only a keeper has the last three attributes.

    Attributes:
        line: `DECLARED`, `ABSENT`, or the user's line in the ACL file if it differs.
        running: `DECLARED`, `ABSENT`, or the user in the running server if it differs. `DECLARED` if no
            server runs.
        certificate: `TRUSTED`, or what is wrong with the server's certificate; None without TLS.
        default: `OFF`, or the user `DEFAULT` if it differs.
        undeclared: undeclared users, each with the place where it was found.
        file: owner, group and mode of the ACL file; see `file_ownership`.
    """

    line: str = ABSENT
    running: str = ABSENT
    certificate: Optional[str] = None
    default: Optional[str] = None
    undeclared: Optional[Mapping[str, str]] = None
    file: Optional[str] = None
