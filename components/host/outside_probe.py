"""A scan of a host from outside, at the end of a deploy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi
from pulumi import ResourceOptions
from pulumi_command import local

from portcullis.components.host.declared import Declared, declared_path
from portcullis.config.arguments import faults_in
from portcullis.config.faults import ArgumentsError
from portcullis.config.forms import Alias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from portcullis.components.host.component import HardenedHost

_MINUTES = "30m"


class OutsideProbe(pulumi.ComponentResource):
    """A scan of all ports of a host from the deploying machine: only declared ports may answer.

    The scan is the last step of each `up` that changed the declared ports, the firewall, SSH, nginx or a
    container. If a port differs, `up` fails and prints the table of ports. The deployed changes stay on the
    host.

    Example:
        ```python
        import pulumi

        from portcullis.components import HardenedHost, HardenedHostArgs, OutsideProbe, changes_of
        from portcullis.components.host.declared import declared

        key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq"
        args = HardenedHostArgs(address="203.0.113.10", os="debian-13", host_key=key)
        web1 = HardenedHost("web1", args)
        OutsideProbe(
            "web1-outside",
            declared=declared("web1", args),
            triggers=changes_of(web1),
            opts=pulumi.ResourceOptions(depends_on=[web1]),
        )
        ```

    Attributes:
        seen: the result of the scan, in one line.
    """

    seen: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        declared: Declared,
        triggers: Sequence[pulumi.Input[Any]] = (),
        opts: ResourceOptions | None = None,
    ) -> None:
        """Declare the scan from outside.

        Args:
            name: the component's name, such as "web1-outside".
            declared: the declared ports of the host. The scan reads the addresses from `declared_path` when
                it runs, because they are not in the state.
            triggers: outputs that start a new scan when they change. `changes_of` returns such outputs.
            opts: options of the component; put the `HardenedHost` into `depends_on`.

        Raises:
            ArgumentsError: the host's alias is not valid.
        """
        if wrong := faults_in(Alias, declared.host, "OutsideProbe.declared.host"):
            raise ArgumentsError(wrong)
        super().__init__("portcullis:index:OutsideProbe", name, None, opts)
        told = declared.without_addresses()
        probe = local.Command(
            f"{name}-scan",
            # Prefer the project's own Python, because the machine's Python may not have Portcullis.
            create=(
                'PATH=".venv/bin:$PATH" exec python3 -m portcullis scan '
                f"--declared {declared_path(pulumi.get_stack())} --host {declared.host} "
                # The state keeps what the command prints, and no address of a host may be in the state.
                "--quiet"
            ),
            logging=local.Logging.NONE,
            add_previous_output_in_env=False,
            triggers=[told, *triggers],
            opts=ResourceOptions(
                parent=self, custom_timeouts=pulumi.CustomTimeouts(create=_MINUTES, update=_MINUTES)
            ),
        )
        self.seen = probe.stdout
        self.register_outputs({"declared": told})


def changes_of(host: HardenedHost) -> list[pulumi.Input[Any]]:
    """Return the outputs that change whenever a host may answer differently: revisions and container ids."""
    parts: list[pulumi.Resource] = [host.access.server]
    parts += [host.firewall.forward, host.firewall.policy, host.firewall.service]
    parts += [host.proxy.served] if host.proxy else []
    stores = host.stores.all if host.stores else ()
    parts += [container.state for container in host.apps.values()]
    parts += [store.container.state for store in stores]
    return list(_changes(parts))


def _changes(parts: Iterable[pulumi.Resource]) -> Iterable[pulumi.Input[Any]]:
    for part in parts:
        # A `ContainerState` has the container's id. `ServedSites` has the revisions of the files that nginx
        # reads.
        for name in ("revision", "container_id", "reads"):
            if isinstance(value := getattr(part, name, None), pulumi.Output):
                yield value
                break
