"""What both halves of `RedisUser` exchange."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional

from portcullis.agent.wire import ABSENT, Desired, Facts, Spec

DEFAULT = "default"
"""The user whom Redis takes everybody for who has not logged in."""
DECLARED = "as declared"
"""A user's line, in the file or in the running server, as it should be."""
OFF = "off, no password, no rights"
"""How the user `DEFAULT` should be."""
TRUSTED = "trusted"
"""The server's certificate as it should be."""
FILE_MODE = 0o640
"""Permission bits of the file of users."""


def sha256(password: str) -> str:
    """Return what Redis keeps of a password and compares at a login."""
    return hashlib.sha256(password.encode()).hexdigest()


def file_ownership(gid: str) -> str:
    """Return how owner, group and mode of the file of users should read."""
    return f"0:{gid} {FILE_MODE:04o}"


@dataclass(frozen=True)
class RedisUserSpec(Spec):
    """Which user of which server it is, and what is declared of it.

    Attributes:
        acl: path of the server's file of users.
        user: its name.
        address: address and port of the host that lead to the server.
        container: name of its container. The agent logs in there and nowhere else.
        ops: path of the file with a user and a password who may set users.
        rules: what the user may do, as in ACL SETUSER.
        gid: number of the group that the server runs as.
        hash: SHA-256 of its password in hex, as Redis has it.
        ca: path of the authority of the server's certificate; with it TLS is spoken.
        keeper: the user answers for the file, for `DEFAULT` and for users whom nobody declared.
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
    """A user as it is declared.

    Attributes:
        acl: path of the server's file of users.
        user: its name.
        address: address and port of the host that lead to the server.
        container: name of its container. The agent logs in there and nowhere else.
        ops: path of the file with a user and a password who may set users.
        password: what it logs in with.
        rules: what it may do, as in ACL SETUSER.
        gid: number of the group that the server runs as.
        ca: path of the authority of the server's certificate; with it TLS is spoken.
        keeper: it answers for the file, for `DEFAULT` and for users whom nobody declared.
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
        """The server's file of users, and the name."""
        return f"{self.acl}:{self.user}"

    def spec(self) -> RedisUserSpec:
        """Return what is declared of it, with the hash of its password."""
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
    """A user as it is. The last three are told of a keeper only.

    Attributes:
        line: `DECLARED`, `ABSENT`, or what its line in the file says instead.
        running: `DECLARED`, `ABSENT`, or what the running server says of it instead; `DECLARED` where no
            server runs.
        certificate: `TRUSTED`, or what is wrong with the server's certificate; None without TLS.
        default: `OFF`, or what the user `DEFAULT` is instead.
        undeclared: users whom nobody declared, each with where it is.
        file: owner, group and mode of the file of users; see `file_ownership`.
    """

    line: str = ABSENT
    running: str = ABSENT
    certificate: Optional[str] = None
    default: Optional[str] = None
    undeclared: Optional[Mapping[str, str]] = None
    file: Optional[str] = None
