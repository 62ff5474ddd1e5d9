"""From a stack's configuration to validated settings, with every fault at once."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from portcullis.settings import crosschecks
from portcullis.settings.acme import ACME
from portcullis.settings.apps import APPS
from portcullis.settings.backups import BACKUPS
from portcullis.settings.faults import NAMESPACE, Fault, Place, SettingsError, closest
from portcullis.settings.hosts import HOSTS
from portcullis.settings.images import IMAGES
from portcullis.settings.kinds import Section
from portcullis.settings.model import Settings
from portcullis.settings.policies import POLICY
from portcullis.settings.secrets_section import REGISTRIES, SECRETS
from portcullis.settings.sites import SITES
from portcullis.settings.stores import STORES
from portcullis.settings.tunnels import TUNNELS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from portcullis.settings.kinds import Kind

KEYS: Mapping[str, Kind[Any]] = {
    "hosts": HOSTS,
    "images": IMAGES,
    "registries": REGISTRIES,
    "secrets": SECRETS,
    "stores": STORES,
    "backups": BACKUPS,
    "apps": APPS,
    "acme": ACME,
    "sites": SITES,
    "tunnels": TUNNELS,
    "policy": POLICY,
}


def load(config: Mapping[str, Any], secret: Collection[str] = (), others: Collection[str] = ()) -> Settings:
    """Validate the configuration of one stack.

    Args:
        config: the values under this program's namespace, by key without the namespace.
        secret: the keys that hold an encrypted value somewhere; faults under them show no values.
        others: the whole keys of other namespaces. One that looks like ours is a misspelt one, and what
            stands under it would be taken for removed.

    Raises:
        SettingsError: with every fault that can be found without the host.
    """
    faults: list[Fault] = []
    places = {key: Place(f"{NAMESPACE}:{key}", faults, key in secret) for key in {*KEYS, *config}}
    for key in config:
        if key not in KEYS:
            places[key].report("is not a known key", closest(key, KEYS))
    for key in others:
        if difflib.get_close_matches(key.partition(":")[0].lower(), [NAMESPACE], cutoff=0.75):
            Place(key, faults).report("is not read", f"this program's keys begin with {NAMESPACE}:")
    if "policy" in secret:
        places["policy"].report("is encrypted", "write it in clear, where who reviews it can read it")
    if not config.get("hosts"):
        places["hosts"].report("declares no host", "docs/configuration.md shows one")
    read = {}
    for key, kind in KEYS.items():
        read[key] = _read(kind, config.get(key), places[key])
        crosschecks.run(key, config, places[key])
    if faults:
        raise SettingsError(faults)
    return Settings(**read, secret=frozenset(secret))


def _read(kind: Kind[Any], raw: Any, at: Place) -> Any:
    """Read one top-level key; a section that nobody wrote has its defaults, or is None where it has none.

    The project file gives an empty map to what nobody wrote.
    """
    if isinstance(kind, Section) and raw in (None, {}):
        return kind.empty() if kind.may_be_empty else None
    if isinstance(kind, Section):
        return kind.read(raw, at)
    return kind.read(raw, at) or {}
