"""Who reaches which stores from home, by an SSH tunnel: `portcullis:tunnels`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from portcullis.components.tunnels.render import tunnel
from portcullis.settings import forms
from portcullis.settings.faults import closest
from portcullis.settings.kinds import Field, ListOf, MapOf, Section

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from portcullis.settings.faults import Place


@dataclass(frozen=True, slots=True)
class TunnelSettings:
    """What one person may reach. `keys` maps a name for each key to its line; without any, one is made."""

    to: tuple[str, ...]
    keys: Mapping[str, str]


def _tunnel(raw: Mapping[str, Any], at: Place) -> None:
    to, keys = raw.get("to"), raw.get("keys")
    if to == []:
        at.key("to").report("names no store", "name one, or leave the person out")
    stores = [store for store in to if isinstance(store, str)] if isinstance(to, list) else []
    for index, store in enumerate(stores):
        if store in stores[:index]:
            at.key("to").report(f"names {store} twice", "name it once")
    seen: dict[str, str] = {}
    for name, line in keys.items() if isinstance(keys, dict) else ():
        blob = " ".join(str(line).split()[:2])
        if blob in seen:
            at.key("keys").key(str(name)).report(f"is the same key as {seen[blob]}", "keep one of the two")
        seen.setdefault(blob, str(name))


TUNNEL = Section(
    "a person who tunnels",
    TunnelSettings,
    (
        Field("to", ListOf(forms.STORE), "the stores that they may reach: `[redis, mongo]`"),
        Field(
            "keys",
            MapOf(forms.KEY_NAME, forms.LOGIN_KEY),
            "their public keys, by a name for each; without any, a key is made, and `make tunnels` says how "
            "to hand it over",
            {},
        ),
    ),
    _tunnel,
)

TUNNELS = MapOf(forms.PERSON, TUNNEL)


def check_tunnels(config: Mapping[str, Any], at: Place, hosts: Place, stores: Collection[str]) -> None:
    """Check the section against the others, on the raw configuration.

    Args:
        config: the values under this program's namespace.
        at: where the tunnels stand.
        hosts: where the hosts stand.
        stores: the names of the stores that are declared.
    """
    raw = config.get("tunnels")
    for person, entry in raw.items() if isinstance(raw, dict) else ():
        to = entry.get("to") if isinstance(entry, dict) else None
        for index, store in enumerate(to if isinstance(to, list) else ()):
            if isinstance(store, str) and store not in stores:
                where = at.key(str(person)).key("to").item(index)
                where.refuse(store, "is not a store of this stack", closest(store, stores))
    declared = config.get("hosts")
    for alias, host in declared.items() if raw and isinstance(declared, dict) else ():
        users = host.get("users") if isinstance(host, dict) else None
        for user in users if isinstance(users, dict) else ():
            if str(user).startswith(tunnel.PREFIX):
                hosts.key(str(alias)).key("users").key(str(user)).report(
                    f"begins with {tunnel.PREFIX}, as the accounts do that only tunnel",
                    "give the user another name",
                )
