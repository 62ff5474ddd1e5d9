"""Declares the items that a host may have. Any other file, account, unit or package shows as drift."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
from pulumi import ResourceOptions

from portcullis.components.inventory import render
from portcullis.components.inventory.resource import Inventory
from portcullis.resources import File, Service

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from portcullis.components.inventory.args import InventoryArgs
    from portcullis.host import Host


class HostInventory(pulumi.ComponentResource):
    """Finds undeclared accounts, keys, files, units, programs, packages, kernel settings and containers.

    The host keeps a record of every item that a resource declares. Before it changes the host, the first `up`
    records the items that came with the machine. From then on, each undeclared item is one line in every
    preview and one warning in every `up`. The inventory deletes nothing. Every night, a timer starts a search
    of the whole disk.

    Example:
        ```python
        from portcullis.components import HostInventory, InventoryArgs
        from portcullis.host import Connection, Host, write_ssh_config

        key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq"
        write_ssh_config({"web1": Connection(address="203.0.113.10", host_key=key)})
        HostInventory(
            "web1-inventory",
            InventoryArgs(accept={"file /etc/cron.d/provider": "the provider's agent"}),
            host=Host("web1"),
            networks={"redis": ["redis"]},
            volumes=["redis-data"],
        )
        ```

    Attributes:
        inventory: the resource that reads the host.
    """

    inventory: Inventory

    def __init__(
        self,
        name: str,
        args: InventoryArgs,
        *,
        host: Host,
        containers: Sequence[str] = (),
        networks: Mapping[str, Sequence[str]] | None = None,
        volumes: Sequence[str] = (),
        sources: Sequence[str] = (),
        opts: ResourceOptions | None = None,
    ) -> None:
        """Declare the inventory and its nightly walk.

        Args:
            name: the component's name, such as "web1-inventory".
            args: the undeclared items that may stay.
            host: the host.
            containers: names of Docker containers that are no `PrivateContainer`, whose ids the host has
                recorded. Anybody who uses Docker can choose such a name, so a container with the name shows
                if it is dangerous.
            networks: the declared Docker networks, each with the containers in it.
            volumes: the declared Docker volumes.
            sources: the declared apt sources, as URIs. Do not list the distribution's own sources.
            opts: options of the component. Add all resources that the other arguments describe to
                `depends_on`, because the component must read the host last.
        """
        super().__init__("portcullis:index:HostInventory", name, None, opts)
        own = ResourceOptions(parent=self)
        folder = "/etc/systemd/system"
        program, service, timer = (
            File(f"{name}-{part}", host=host, path=path, content=content, mode=mode, opts=own)
            for part, path, content, mode in (
                ("program", render.PROGRAM, render.program(f"{name}-program"), "0755"),
                ("service", f"{folder}/{render.UNIT}.service", render.service(f"{name}-service"), "0644"),
                ("timer", f"{folder}/{render.UNIT}.timer", render.timer(f"{name}-timer"), "0644"),
            )
        )
        running = Service(
            f"{name}-{render.UNIT}.timer",
            host=host,
            unit=f"{render.UNIT}.timer",
            reads=[service, timer],
            on_change="restart",
            opts=ResourceOptions(parent=self, depends_on=[program, service, timer]),
        )
        self.inventory = Inventory(
            f"{name}-found",
            host=host,
            containers=containers,
            networks=networks,
            volumes=volumes,
            sources=sources,
            accepted=args.accept,
            opts=ResourceOptions(parent=self, depends_on=[running]),
        )
        self.register_outputs({"baseline": self.inventory.baseline})
