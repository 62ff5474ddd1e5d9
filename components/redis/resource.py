"""A user of a Redis server: its line in the server's file of users, and the same in the server as it runs."""

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
from portcullis.host.provider import ABSENT, HostProvider, Normaliser, is_known
from portcullis.host.resource import HostResource
from portcullis.provider.base import DiffResult
from portcullis.provider.changes import Line, Section, Severity, with_rest

if TYPE_CHECKING:
    import pulumi

    from portcullis.host.host import Host
    from portcullis.provider.base import Props
    from portcullis.provider.changes import Change

_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}\Z")
_RULE = re.compile(r"(~|&|%[RW]{1,2}~|\+|-)[!-~]+\Z|(all|reset)(keys|channels)\Z|(all|no)commands\Z")
_PASSWORD = re.compile(r"[!-~]{20,512}\Z")
_ADDRESS = re.compile(r"([0-9.]+|\[[0-9a-f:]+\]):[0-9]{1,5}\Z")


class RedisUserProvider(HostProvider):
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
            # Read back as what is wrong with the server's certificate.
            inputs.inputs["certificate"] = TRUSTED
        _matching(inputs, "address", _ADDRESS, "is not an address with its port, such as 172.17.0.1:6379")
        _matching(inputs, "gid", re.compile(r"[0-9]+\Z"), "is not the number of a group, such as 999")
        _matching(inputs, "user", _USER, "is not a name for a user of Redis: letters, digits, _ . and -")
        if inputs.news.get("user") == DEFAULT:
            inputs.fail("user", "default is everybody who has not logged in; it is kept off")
        password = inputs.news.get("password")
        inputs.inputs["password"] = password
        if is_known(password) and not (isinstance(password, str) and _PASSWORD.match(password)):
            inputs.fail(
                "password",
                "must have 20 printable characters or more and no space: from the hash that Redis keeps, "
                "a shorter one could be guessed",
            )
        rules = inputs.text("rules")
        if rules is not None:
            inputs.inputs["rules"] = " ".join(rules.split())
            wrong = [word for word in rules.split() if not _RULE.match(word)]
            if wrong:
                inputs.fail("rules", f"{wrong[0]!r} is not a rule for keys, channels or commands")
        # Read back as what is there instead.
        inputs.inputs |= {"line": DECLARED, "running": DECLARED}
        if inputs.news.get("keeper"):
            gid = inputs.news.get("gid")
            owned = file_ownership(str(gid)) if is_known(gid) else gid
            inputs.inputs |= {"keeper": True, "default": OFF, "undeclared": {}, "file": owned}

    def diff(self, id_: str, olds: Props, news: Props) -> DiffResult:
        """Replace a user of another name: the new one is there before the old one goes, with its sessions.

        An unknown name is another one: it carries the generation of a secret that is being rotated.
        """
        del id_
        changed = [
            key for key in self.identity if not is_known(news.get(key)) or olds.get(key) != news.get(key)
        ]
        return DiffResult(replaces=changed)

    def absent_inputs(self) -> Props:
        """Return a user that is nowhere."""
        return {"line": ABSENT, "running": ABSENT}

    def differing(self, change: Change, subject: str) -> list[Line]:
        """Say who may log in and is not declared, and what else the server says."""
        strangers = [
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
        return with_rest(change, subject, strangers)


def _matching(inputs: Normaliser, name: str, form: re.Pattern[str], reason: str) -> None:
    value = inputs.text(name)
    if value is not None and not form.match(value):
        inputs.fail(name, f"{value!r} {reason}")


class RedisUser(HostResource):
    """A user of Redis, who logs in with a password of which the host keeps a hash alone.

    Before the server runs it is a line of the file that the server starts from. From then on the running
    server is asked first: what it refuses never reaches the file. Both are read back. On delete the user
    goes, and exactly its sessions end. See docs/stores/redis.md.

    Attributes:
        user: its name.
    """

    user: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        host: Host | str,
        acl: str,
        address: str,
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
            acl: the server's file of users on the host, the same one for all users of a server. It belongs to
                root, and the group `gid` reads it.
            address: address and port where the host reaches the server.
            ops: the file on the host with a user and a password, apart by a space, who may set users.
            user: its name. Another name is another user: the new one is made first and the old one goes last.
            password: what it logs in with; mark it secret. 20 characters or more, without spaces.
            rules: what it may do, as in ACL SETUSER, from left to right: "~* &* +@all -@dangerous".
            gid: number of the group that the server runs as.
            ca: the file on the host with the authority of the server's certificate; with it TLS is spoken.
            keeper: answers for the user `default`, which stays off, for the file, and for users who are
                nobody's: they show by name and are taken away. One user of each server is its keeper.
            adopt: take over a user that is there and differs; a keeper takes away who else is there.
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
