"""What is on a host, declared out of what is on it by intent; everything else is a difference."""

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
    """What nobody declared: accounts, keys, files, units, programs, packages, kernel settings, containers.

    What resources declare, the host knows from its own records. The first `up` records what came with the
    machine before it changes anything. From then on each stranger is a line of difference in every preview,
    and a warning in every `up`; nothing is ever deleted. A timer walks the disk every night.

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
            containers=["redis"],
            networks={"redis": ["redis"]},
            volumes=["redis-data"],
        )
        ```

    Attributes:
        inventory: the resource that is read back.
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
        """Declare it.

        Args:
            name: the component's name, such as "web1-inventory".
            args: what may be there beside what is declared.
            host: the host.
            containers: the containers of Docker that are declared.
            networks: the networks of Docker that are declared, each with the containers in it.
            volumes: the volumes of Docker that are declared.
            sources: apt's sources beside the distribution's, as URIs.
            opts: options of the component. It is read last: it depends on all that makes the above.
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
