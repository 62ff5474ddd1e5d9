"""A user of a Redis server: its line in the server's ACL file, and the same user in the running server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from portcullis.components.redis.facts import (
    DECLARED,
    DEFAULT,
    OFF,
    TRUSTED,
    RedisUserDesired,
    RedisUserFacts,
    file_ownership,
)
from portcullis.components.stores.resource.by_generation import ByGeneration
from portcullis.host.provider import ABSENT, Normaliser, is_known
from portcullis.host.resource import HostResource
from portcullis.provider.changes import Line, Section, Severity, with_rest

if TYPE_CHECKING:
    import pulumi

    from portcullis.host.host import Host
    from portcullis.provider.base import Props
    from portcullis.provider.changes import Change

_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}\Z")
# A selector, which is a second set of rules, is in parentheses.
_RULE = re.compile(r"(~|&|%[RW]{1,2}~|\+|-)[!-~]+\Z|(all|reset)(keys|channels)\Z|(all|no)commands\Z")
_PASSWORD = re.compile(r"[!-~]{20,512}\Z")
_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
_ADDRESS = re.compile(r"([0-9.]+|\[[0-9a-f:]+\]):[0-9]{1,5}\Z")


class RedisUserProvider(ByGeneration):
    """Provider of `RedisUser`."""

    kind = "redis.redis_users"
    section = Section.DATA
    desired_type = RedisUserDesired
    facts_type = RedisUserFacts
    live = ("line", "running", "certificate", "default", "undeclared", "file")
    identity = ("host", "acl", "user")
    secrets = ("password",)

    def normalise(self, inputs: Normaliser) -> None:
        """Check names, password and rules."""
        for path in ("acl", "ops"):
            inputs.path(path)
        if inputs.news.get("ca"):
            inputs.path("ca")
            # A refresh reads back what is wrong with the server's certificate.
            inputs.inputs["certificate"] = TRUSTED
        _matching(inputs, "address", _ADDRESS, "is not an address with its port, such as 172.17.0.1:6379")
        _matching(inputs, "container", _CONTAINER, "is not the name of a container")
        _matching(inputs, "gid", re.compile(r"[0-9]+\Z"), "is not the number of a group, such as 999")
        _matching(inputs, "user", _USER, "is not a name for a user of Redis: letters, digits, _ . and -")
        if inputs.news.get("user") == DEFAULT:
            inputs.fail(
                "user", "default is the user of every client that has not logged in, and must stay off"
            )
        password = inputs.news.get("password")
        inputs.inputs["password"] = password
        if is_known(password) and not (isinstance(password, str) and _PASSWORD.match(password)):
            inputs.fail(
                "password",
                "must have 20 printable characters or more and no space: somebody could guess a shorter one "
                "from the hash that Redis keeps",
            )
        rules = inputs.text("rules")
        if rules is not None:
            inputs.inputs["rules"] = " ".join(rules.split())
            wrong = [word for word in rules.split() if not _RULE.match(word)]
            if wrong:
                inputs.fail("rules", f"{wrong[0]!r} is not a rule for keys, channels or commands")
        # A refresh reads back these values, or the differing ones.
        inputs.inputs |= {"line": DECLARED, "running": DECLARED}
        if inputs.news.get("keeper"):
            gid = inputs.news.get("gid")
            owned = file_ownership(str(gid)) if is_known(gid) else gid
            inputs.inputs |= {"keeper": True, "default": OFF, "undeclared": {}, "file": owned}

    def absent_inputs(self) -> Props:
        """Return a user that exists neither in the file nor in the server."""
        return {"line": ABSENT, "running": ABSENT}

    def differing(self, change: Change, subject: str) -> list[Line]:
        """Report each undeclared user that may log in, and every other difference."""
        undeclared = [
            Line(
                "redis",
                f"user {name} may log in ({live})",
                "up removes it",
                Severity.OPEN if change.by_hand(("undeclared", name)) else Severity.COSMETIC,
                at=("undeclared", name),
            )
            for name, live, goal in change.entries("undeclared")
            if goal is None
        ]
        return with_rest(change, subject, undeclared)


def _matching(inputs: Normaliser, name: str, form: re.Pattern[str], reason: str) -> None:
    value = inputs.text(name)
    if value is not None and not form.match(value):
        inputs.fail(name, f"{value!r} {reason}")


class RedisUser(HostResource):
    """A user of Redis. The host keeps only a hash of the password.

    Before the server runs, the user is a line of the ACL file that the server reads when it starts. Later,
    the agent changes the running server first, so rules that Redis refuses never reach the file. A refresh
    reads the file and the server. A delete removes the user and ends only this user's sessions. See
    docs/stores/redis.md.

    Attributes:
        user: the user's name.
    """

    user: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        host: Host | str,
        acl: str,
        address: str,
        container: str,
        ops: str,
        user: pulumi.Input[str],
        password: pulumi.Input[str],
        rules: str,
        gid: str = "999",
        ca: str | None = None,
        keeper: bool = False,
        adopt: bool | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the user.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            acl: the server's ACL file on the host, the same file for all users of a server. The file belongs
                to root, and the group `gid` may read the file.
            address: the host's address and port at which Docker publishes the server.
            container: name of the server's container. The agent logs in to this container and nowhere else.
            ops: the file on the host with the name and password, separated by a space, of a user who may
                change users.
            user: the user's name. If you change the name, `up` creates the new user first, and removes the
                old user last.
            password: the user's password, marked as secret. The password has 20 characters or more, and no
                spaces.
            rules: the rights of the user, as in ACL SETUSER, from left to right: "~* &* +@all -@dangerous".
            gid: number of the group that the server runs as.
            ca: the file on the host with the certificate of the server's authority. With `ca`, the agent uses
                TLS.
            keeper: also manage the ACL file, the user `default`, which stays off, and undeclared users. A
                preview shows undeclared users by name, and `up` removes them. One user of each server is the
                keeper.
            adopt: let the first `up` change an existing user that differs from the declaration. With
                `keeper`, also let it remove undeclared users.
            opts: resource options.
        """
        super().__init__(
            RedisUserProvider,
            name,
            host=host,
            adopt=adopt,
            inputs={
                "acl": acl,
                "address": address,
                "container": container,
                "ops": ops,
                "user": user,
                "password": password,
                "rules": rules,
                "gid": gid,
                "ca": ca,
                "keeper": keeper or None,
            },
            opts=opts,
        )
