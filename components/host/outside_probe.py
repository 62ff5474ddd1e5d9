"""A look at a host from outside, at the very end of a deployment."""

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
    """All ports of a host, asked from the machine that deploys: what answers is what is declared.

    It runs on each `up` that changed what is declared, the firewall, SSH, nginx or a container, after
    everything else. Where something differs, `up` fails with the table, and everything stands as deployed.

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
        seen: the result, in one line.
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
        """Declare it.

        Args:
            name: the component's name, such as "web1-outside".
            declared: what the host is to answer. Its addresses are read from `declared_path` when the probe
                runs, and are in no state.
            triggers: what changes with what the host lets in, listens with or shows.
            opts: options of the component; it depends on everything of the host.

        Raises:
            ArgumentsError: the host's alias cannot be one.
        """
        if wrong := faults_in(Alias, declared.host, "OutsideProbe.declared.host"):
            raise ArgumentsError(wrong)
        super().__init__("portcullis:index:OutsideProbe", name, None, opts)
        told = declared.without_addresses()
        probe = local.Command(
            f"{name}-scan",
            # The project's own Python where there is one: the machine's may know nothing of Portcullis.
            create=(
                'PATH=".venv/bin:$PATH" exec python3 -m portcullis scan '
                f"--declared {declared_path(pulumi.get_stack())} --host {declared.host} "
                # What it prints is in the state, where no address of a host is.
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
    """Return what changes when a host may answer something else: revisions of parts, ids of containers."""
    parts: list[pulumi.Resource] = [host.access.server]
    parts += [host.firewall.forward, host.firewall.policy, host.firewall.service]
    parts += [host.proxy.served] if host.proxy else []
    stores = (host.stores.redis, host.stores.mongo) if host.stores else ()
    parts += [container.state for container in host.apps.values()]
    parts += [store.container.state for store in stores if store]
    return list(_changes(parts))


def _changes(parts: Iterable[pulumi.Resource]) -> Iterable[pulumi.Input[Any]]:
    for part in parts:
        # A container's state knows its id, nginx's sites the revisions of what they read.
        for name in ("revision", "container_id", "reads"):
            if isinstance(value := getattr(part, name, None), pulumi.Output):
                yield value
                break
