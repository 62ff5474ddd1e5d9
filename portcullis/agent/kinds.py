"""Every kind of thing, by its name in the protocol. One is loaded when it is first asked for.

Most sessions know a few: what is not loaded costs neither memory nor the time to compile it.
"""

from __future__ import annotations

import importlib
import threading
from typing import TYPE_CHECKING, Dict, cast

from portcullis.agent.errors import HostError

if TYPE_CHECKING:
    from portcullis.agent.kind import Kind
    from portcullis.agent.machine import Machine
    from portcullis.agent.store import Store

# Name → module, class, and what its constructor takes.
_KINDS = {
    "file": ("resources.file.on_host", "Files", ("machine",)),
    "directory": ("resources.directory.on_host", "Directories", ("store",)),
    "tree": ("resources.tree.on_host", "Trees", ("store",)),
    "packages": ("resources.packages.on_host.packages", "Packages", ("machine", "store")),
    "service": ("resources.service.on_host", "Services", ("machine",)),
    "sysctl": ("resources.sysctl.on_host.sysctls", "Sysctls", ("machine",)),
    "forward-filter": ("components.firewall.on_host.forward_filters", "ForwardFilters", ("machine",)),
    "ssh-server": ("components.ssh.on_host.ssh_servers", "SshServers", ("machine",)),
    "user": ("components.users.on_host.users", "Users", ("machine", "store")),
    "administrators": ("components.users.on_host.administrators", "Administrators", ("machine",)),
    "backup": ("components.backups.on_host", "Backups", ("machine",)),
    "fail2ban-jail": ("components.fail2ban.on_host.jails", "Jails", ("machine",)),
    "redis-user": ("components.redis.on_host.redis_users", "RedisUsers", ("store",)),
    "image": ("components.containers.on_host.images", "Images", ("machine",)),
    "ufw-policy": ("components.firewall.on_host.ufw", "UfwPolicies", ("machine",)),
    "certificate": ("components.certificates.on_host.certificates", "Certificates", ("machine",)),
    "cpu": ("components.containers.on_host.cpus", "Cpus", ("machine",)),
    "mongo-root": ("components.mongodb.on_host.mongo_roots", "MongoRoots", ("machine", "store")),
    "mongo-user": ("components.mongodb.on_host.mongo_users", "MongoUsers", ("machine",)),
    "container": ("components.containers.on_host.containers", "Containers", ("machine",)),
    "release": ("components.containers.on_host.releases", "Releases", ("machine", "store")),
    "drain": ("components.containers.on_host.drains", "Drains", ("machine",)),
    "exposure": ("components.exposure.on_host.exposure", "Exposures", ("machine",)),
    "served-sites": ("components.nginx.on_host.served_sites", "ServedSites", ("machine",)),
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
                found = importlib.import_module(f"portcullis.{module}")
                made = getattr(found, class_)(*(self._parts[part] for part in takes))
                self[name] = cast("Kind", made)
            return self[name]
