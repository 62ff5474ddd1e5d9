"""Every kind of thing, by its name in the protocol. One is loaded when it is first asked for.

Most sessions know a few: what is not loaded costs neither memory nor the time to compile it.
"""

from __future__ import annotations

import importlib
import threading
from typing import TYPE_CHECKING, Dict, cast

from portcullis.host.agent.errors import HostError

if TYPE_CHECKING:
    from portcullis.host.agent.kind import Kind
    from portcullis.host.agent.machine import Machine
    from portcullis.host.agent.store import Store

# Name → module, class, and what its constructor takes.
_KINDS = {
    "file": ("files", "Files", ("machine",)),
    "directory": ("directories", "Directories", ("store",)),
    "tree": ("trees", "Trees", ("store",)),
    "packages": ("packages", "Packages", ("machine", "store")),
    "service": ("services", "Services", ("machine",)),
    "sysctl": ("sysctls", "Sysctls", ("machine",)),
    "forward-filter": ("forward_filters", "ForwardFilters", ("machine",)),
    "ssh-server": ("ssh_servers", "SshServers", ("machine",)),
    "user": ("users", "Users", ("machine", "store")),
    "administrators": ("administrators", "Administrators", ("machine",)),
    "backup": ("backups", "Backups", ("machine",)),
    "fail2ban-jail": ("jails", "Jails", ("machine",)),
    "redis-user": ("redis_users", "RedisUsers", ("store",)),
    "image": ("images", "Images", ("machine",)),
    "ufw-policy": ("ufw", "UfwPolicies", ("machine",)),
    "certificate": ("certificates", "Certificates", ("machine",)),
    "cpu": ("cpus", "Cpus", ("machine",)),
    "mongo-root": ("mongo_roots", "MongoRoots", ("machine", "store")),
    "mongo-user": ("mongo_users", "MongoUsers", ("machine",)),
    "container": ("containers", "Containers", ("machine",)),
    "release": ("releases", "Releases", ("machine", "store")),
    "drain": ("drains", "Drains", ("machine",)),
    "exposure": ("exposure", "Exposures", ("machine",)),
    "served-sites": ("served_sites", "ServedSites", ("machine",)),
}


class Kinds(Dict[str, "Kind"]):
    """The kinds of a session, made as they are asked for."""

    def __init__(self, machine: Machine, store: Store) -> None:
        """Load nothing yet."""
        super().__init__()
        self._parts = {"machine": machine, "store": store}
        self._making = threading.RLock()

    def known(self, name: str) -> bool:
        """Whether there is such a kind."""
        return name in self or name in _KINDS

    def __missing__(self, name: str) -> Kind:
        """Make a kind. Raises `HostError` (``invalid``)."""
        with self._making:
            if name not in self:
                if name not in _KINDS:
                    raise HostError("invalid", f"the agent knows no kind {name!r}")
                module, class_, takes = _KINDS[name]
                found = importlib.import_module(f"portcullis.host.agent.{module}")
                made = getattr(found, class_)(*(self._parts[part] for part in takes))
                self[name] = cast("Kind", made)
            return self[name]
