"""Who reaches which stores from home, by an SSH tunnel."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from portcullis.components.tunnels.render.tunnel import PREFIX
from portcullis.components.users.args import repeated
from portcullis.config.forms import KeyName, LoginKey, StoreName
from portcullis.config.section import Section, Written
from portcullis.config.value_types import ListOf, MapOf, Text

# useradd(8) takes 32 characters, and the account's name begins with what it is for.
_PERSON = rf"[a-z_][a-z0-9_-]{{0,{31 - len(PREFIX)}}}"
Person = Annotated[
    str, Text("a name for a person", _PERSON, "write small letters, digits and dashes, such as alice")
]
TunnelAccount = Annotated[str, Text("an account for tunnels", f"{PREFIX}{_PERSON}", f"write {PREFIX}alice")]


class TunnelArgs(Section):
    """What one person may reach by an SSH tunnel."""

    what: ClassVar[str] = "a person who tunnels"

    to: ListOf[StoreName]
    """The stores that they may reach: `[redis, mongo]`."""
    keys: MapOf[KeyName, LoginKey] = Field(default_factory=dict)
    """Their public keys, by a name for each. Without any, a key is made, and `make tunnels` says how to hand
    it over."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse what is said twice, and a tunnel to nowhere."""
        at = written.at
        if written.get("to") in ([], ()):
            at.field("to").report("names no store", "name one, or leave the person out")
        stores = [store for store, _ in written.elements("to") if isinstance(store, str)]
        for index, store in enumerate(stores):
            if store in stores[:index]:
                at.field("to").report(f"names {store} twice", "name it once")
        for first, place in repeated(written):
            place.report(f"is the same key as {first}", "keep one of the two")
