"""What a host's processor has to be able to do, said before a program is started that needs it."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from portcullis.components.containers.facts import PRESENT, CpuDesired, CpuFacts
from portcullis.host.provider import HostProvider, Normaliser
from portcullis.host.resource import HostResource

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pulumi

    from portcullis.host.host import Host
    from portcullis.provider.base import Props


class CpuProvider(HostProvider):
    """Provider of `Cpu`."""

    kind = "containers.cpus"
    desired_type = CpuDesired
    facts_type = CpuFacts
    live = ("features",)
    identity = ("host", "program")
    sets = MappingProxyType({"features": PRESENT})
    instead_of_import = "it only reads: declare it"

    def normalise(self, inputs: Normaliser) -> None:
        """Take the features over, and what is said where one is missing."""
        inputs.text("program")
        inputs.text("reason")
        inputs.text("hint")
        inputs.keep("features")
        if not inputs.news.get("features"):
            inputs.fail("features", "names no feature, such as avx")

    def absent_inputs(self) -> Props:
        """Return nothing: there is always a processor."""
        return {}


class Cpu(HostResource):
    """Features of the host's processor, as /proc/cpuinfo spells them. Nothing is changed, only refused.

    They are asked for on x86 alone: another processor has no such features, and programs are built otherwise
    for it.
    """

    def __init__(
        self,
        name: str,
        *,
        host: Host | str,
        program: str,
        features: Sequence[str],
        reason: str,
        hint: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare what is needed.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            program: who needs them, once a host.
            features: flags such as "avx".
            reason: what needs them, said where one is missing.
            hint: what to do about it.
            opts: resource options.
        """
        super().__init__(
            CpuProvider,
            name,
            host=host,
            adopt=False,
            inputs={
                "program": program,
                "features": dict.fromkeys(sorted(features), PRESENT),
                "reason": reason,
                "hint": hint,
            },
            outputs=(),
            opts=opts,
        )
