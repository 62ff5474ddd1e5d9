"""The settings of SSH tunnels: which person may reach which stores from their own machine."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from portcullis.components.tunnels.render.tunnel import PREFIX
from portcullis.components.users.args import repeated
from portcullis.config.forms import KeyName, LoginKey, StoreName
from portcullis.config.section import Section, Written
from portcullis.config.value_types import ListOf, MapOf, Text

# useradd(8) accepts names up to 32 characters, and the account's name starts with `tunnel-`.
_PERSON = rf"[a-z_][a-z0-9_-]{{0,{31 - len(PREFIX)}}}"
Person = Annotated[
    str, Text("a name for a person", _PERSON, "write lower-case letters, digits and dashes, such as alice")
]
TunnelAccount = Annotated[str, Text("an account for tunnels", f"{PREFIX}{_PERSON}", f"write {PREFIX}alice")]


class TunnelArgs(Section):
    """The SSH tunnel of one person."""

    what: ClassVar[str] = "a person with a tunnel"

    to: ListOf[StoreName]
    """The stores that the person may reach: `[redis, mongo]`."""
    keys: MapOf[KeyName, LoginKey] = Field(default_factory=dict)
    """The person's public keys, each under a name. Without keys, `up` makes a key, and `make tunnels` says
    how to hand the key over."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse a tunnel without a store, and a store or key that is named twice."""
        at = written.at
        if written.get("to") in ([], ()):
            at.field("to").report("names no store", "name a store, or remove the person")
        stores = [store for store, _ in written.elements("to") if isinstance(store, str)]
        for index, store in enumerate(stores):
            if store in stores[:index]:
                at.field("to").report(f"names {store} twice", "name the store once")
        for first, place in repeated(written):
            place.report(f"is the same key as {first}", "keep one of the two keys")
