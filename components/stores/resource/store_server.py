"""The server of a store: who comes in, its databases, and its undeclared users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portcullis.components.stores.facts import (
    DECLARED,
    REQUIRED,
    StoreServerDesired,
    StoreServerFacts,
    StoreServerProps,
)
from portcullis.host.provider import HostProvider
from portcullis.host.resource import DeclaredResource
from portcullis.provider.changes import Line, Section, Severity, with_rest

if TYPE_CHECKING:
    from portcullis.provider.base import Props
    from portcullis.provider.changes import Change


class StoreServerProvider(HostProvider):
    """Provider of `StoreServer`."""

    kind = "stores.store_servers"
    section = Section.DATA
    desired_type = StoreServerDesired
    facts_type = StoreServerFacts

    def absent_inputs(self) -> Props:
        """Return nothing: a server that does not run has facts too."""
        return {}

    def subject(self, change: Change) -> str:
        """Return the name of the store."""
        return str(change.props.get("store"))

    def differing(self, change: Change, subject: str) -> list[Line]:
        """Return a line for each undeclared user and each database, and for an open server."""
        found = [
            Line(
                subject,
                f"nobody declared the user {name}: {live}",
                "up removes it",
                Severity.OPEN if change.by_hand(("undeclared", name)) else Severity.COSMETIC,
                at=("undeclared", name),
            )
            for name, live, goal in change.entries("undeclared")
            if goal is None
        ]
        found += [
            Line(subject, f"database {name} {live}", "up mends it", Severity.OPEN, at=("databases", name))
            for name, live, goal in change.entries("databases")
            if None not in (live, goal)
        ]
        login = change.live.get("login")
        if change.changes("login") and login != REQUIRED:
            found.append(Line(subject, str(login), "up mends it", Severity.OPEN, at=("login",)))
        return with_rest(change, subject, found)


class StoreServer(StoreServerProps, DeclaredResource):
    """The server in a store's container.

    A refresh reads whether the server answers, whether it refuses clients without a login, who owns its
    databases, and which undeclared users it has. `up` creates missing databases and removes undeclared users.
    What such a user owns in a database passes to the database's owner. Databases are never removed.
    """

    provider_type = StoreServerProvider
    outputs = ()

    def derived(self, given: StoreServerProps) -> dict[str, Any]:
        """Return the databases with the state that each should have."""
        return {"databases": dict.fromkeys(sorted(given.databases), DECLARED)}
