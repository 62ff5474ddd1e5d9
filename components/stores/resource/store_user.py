"""A user of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portcullis.components.stores.facts import StoreUserDesired, StoreUserFacts, StoreUserProps
from portcullis.components.stores.resource.by_generation import ByGeneration
from portcullis.host.provider import ABSENT
from portcullis.host.resource import DeclaredResource
from portcullis.provider.changes import Line, Section, Severity, with_rest

if TYPE_CHECKING:
    from portcullis.provider.base import Props
    from portcullis.provider.changes import Change


class StoreUserProvider(ByGeneration):
    """Provider of `StoreUser`."""

    kind = "stores.store_users"
    section = Section.DATA
    desired_type = StoreUserDesired
    facts_type = StoreUserFacts

    def absent_inputs(self) -> Props:
        """Return the inputs of a user that does not exist."""
        return {"account": ABSENT}

    def subject(self, change: Change) -> str:
        """Return the names of the user and of the store."""
        return f"user {change.props.get('user')} of {change.props.get('store')}"

    def differing(self, change: Change, subject: str) -> list[Line]:
        """Say how the user differs."""
        if not change.changes("account"):
            return super().differing(change, subject)
        what = str(change.live.get("account"))
        return with_rest(
            change, subject, [Line(subject, what, "up mends it", Severity.OPEN, at=("account",))]
        )


class StoreUser(StoreUserProps, DeclaredResource):
    """A user of a store, with all rights in one database and none elsewhere.

    A refresh reads its password, rights and memberships. The name should contain the generation of a
    `GeneratedSecret`. A rotation then creates the next user, lets the app change to it, and removes the old
    user with its sessions at the end of the same `up`. Until then both users can log in.
    """

    provider_type = StoreUserProvider
    outputs = ()
