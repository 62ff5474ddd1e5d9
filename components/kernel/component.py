"""The kernel settings of a host."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pulumi
from pulumi import ResourceOptions

from portcullis.components.kernel import render as sysctl
from portcullis.components.kernel.args import Key, Prefix, Value
from portcullis.config.arguments import faults_in, validate
from portcullis.config.faults import Fault, shown
from portcullis.config.forms import Alias
from portcullis.config.kinds import ListOf
from portcullis.resources import Sysctl

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class KernelSettingsArgs:
    """What differs from our kernel settings.

    Attributes:
        host: alias of the host.
        values: key to value; None leaves one of ours out. One of `net.ipv4.conf.all.…` counts for the
            interfaces and for those to come, too.
        only: beginnings of the keys to manage, such as "net." in a host that is itself a container; none
            manages all.
        adopt: replace a file that is there and differs, and what an administrator's file says otherwise.
        after: what has to be there before: the firewall where ufw runs already, since its own file of kernel
            settings says otherwise until it is declared.

    Raises:
        ValueError: naming every attribute that cannot be used, and every value that would break Docker.
    """

    host: str
    values: Mapping[str, str | None] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    adopt: bool = False
    after: tuple[pulumi.Resource, ...] = ()

    def __post_init__(self) -> None:
        """Check what would otherwise fail on the host, or break it."""
        validate(
            self,
            {"host": Alias, "values": ListOf[Key], "only": ListOf[Prefix]},
        )
        faults: list[Fault] = []
        for key, value in self.values.items():
            if value is None:
                continue
            at = f"KernelSettingsArgs.values.{key}"
            wrong = faults_in(Value, value, at)
            if not wrong and (why := sysctl.refusal(key, value)):
                wrong = [Fault(at, f"{shown(value)} would break this host: {why}", "leave it out")]
            faults += wrong
            if self.only and not key.startswith(self.only):
                faults.append(Fault(at, f"is not managed: only says {', '.join(self.only)}", "add to only"))
        if not faults and not sysctl.settings(self.values, self.only):
            faults.append(
                Fault("KernelSettingsArgs.only", f"no setting begins with {' or '.join(self.only)}")
            )
        if faults:
            raise ValueError("\n".join(map(str, faults)))


class KernelSettings(pulumi.ComponentResource):
    """Kernel settings against forged packets, planted links and curious programs; what Docker needs stays.

    Attributes:
        ready: what has to be waited for.
    """

    ready: list[pulumi.Resource]

    def __init__(self, name: str, args: KernelSettingsArgs, opts: ResourceOptions | None = None) -> None:
        """Declare the settings under `name`, such as "web1-kernel"."""
        super().__init__("portcullis:index:KernelSettings", name, None, opts)
        values = sysctl.settings(args.values, args.only)
        own = f"{name}-sysctl"
        settings = Sysctl(
            own,
            host=args.host,
            path=sysctl.PATH,
            values=values,
            content=sysctl.sysctl_conf(own, values),
            optional=[key for key in values if key in sysctl.OPTIONAL and key not in args.values],
            adopt=args.adopt,
            opts=ResourceOptions(parent=self, depends_on=[*args.after]),
        )
        self.ready = [settings]
        self.register_outputs({"values": settings.values})
