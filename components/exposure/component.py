"""What a host exposes, declared out of what is on it; everything else that it exposes is a difference."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pulumi
from pulumi import ResourceOptions

from portcullis.components.exposure import render as exposure
from portcullis.components.exposure.args import Exposed
from portcullis.components.exposure.resource import Exposure
from portcullis.config.arguments import validate
from portcullis.config.forms import Alias, Port, Reason
from portcullis.config.kinds import ListOf

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class HostExposureArgs:
    """What a host exposes on purpose.

    Attributes:
        host: alias of the host.
        ssh_port: sshd's port.
        web: nginx serves sites, on 80 and 443.
        allow: what ufw lets in beside SSH, as `Firewall` takes it: `["5432/tcp from 203.0.113.0/24"]`.
        opened: those of `allow` that programs serve which nobody declared: whoever listens there is expected.
        public: ports that containers publish to the world, as `Firewall` takes them.
        bind_address: docker0's address.
        ports: the ports there that containers have, by container.
        released: apps whose releases take a port of their own there.
        networks: the networks of Docker that are declared.
        accept: what else may be there → why; the keys are those of a difference.
        after: what makes all of it. It is read last.

    Raises:
        ValueError: naming every attribute that cannot be used.
    """

    host: str
    ssh_port: int = 22
    web: bool = False
    allow: Sequence[str] = ()
    opened: Sequence[str] = ()
    public: Mapping[str, Sequence[str]] = field(default_factory=dict)
    bind_address: str = "172.17.0.1"
    ports: Mapping[str, int] = field(default_factory=dict)
    released: Sequence[str] = ()
    networks: Sequence[str] = ()
    accept: Mapping[str, str] = field(default_factory=dict)
    after: Sequence[pulumi.Resource] = ()

    def __post_init__(self) -> None:
        """Check what would otherwise fail at the end of a deployment."""
        validate(
            self,
            {"host": Alias, "ssh_port": Port, "accept": ListOf[Exposed]},
            {"ports": Port, "accept": Reason},
        )


class HostExposure(pulumi.ComponentResource):
    """The last chapter: what the host exposes is what was declared, and nothing else.

    Nothing is changed: what is undeclared is a line of difference in every preview, and a warning in every
    `up`, with the name of who exposes it.

    Attributes:
        exposure: the resource that is read back.
    """

    exposure: Exposure

    def __init__(self, name: str, args: HostExposureArgs, opts: ResourceOptions | None = None) -> None:
        """Declare it under `name`, such as "web1-exposure"."""
        super().__init__("portcullis:index:HostExposure", name, None, opts)

        def expected(declared: Mapping[str, str]) -> dict[str, str]:
            # What is accepted may be there or not; what is declared as well would be missing for ever.
            return {key: owner for key, owner in declared.items() if key not in args.accept}

        self.exposure = Exposure(
            f"{name}-found",
            host=args.host,
            listeners=expected(exposure.listeners(args.ssh_port, web=args.web)),
            published=expected(exposure.published(args.bind_address, args.ports, args.released)),
            passes=expected(exposure.passes(args.ssh_port, args.allow, args.public)),
            networks=[name for name in args.networks if f"network {name}" not in args.accept],
            accepted=args.accept,
            usual=exposure.usual(args.opened, tuple(args.public)),
            opts=ResourceOptions(parent=self, depends_on=[*args.after]),
        )
        self.register_outputs({"listeners": self.exposure.listeners, "published": self.exposure.published})
