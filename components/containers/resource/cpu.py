"""Features that a host's processor must have.

If a feature is missing, `up` stops before it starts the program.
"""

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
    instead_of_import = "declare the resource instead; it only checks the host"

    def normalise(self, inputs: Normaliser) -> None:
        """Check that the inputs name at least one feature."""
        inputs.text("program")
        inputs.text("reason")
        inputs.text("hint")
        inputs.keep("features")
        if not inputs.news.get("features"):
            inputs.fail("features", "must name a feature, such as avx")

    def absent_inputs(self) -> Props:
        """Return no inputs, because every host has a processor."""
        return {}


class Cpu(HostResource):
    """Features that the host's processor must have, as /proc/cpuinfo spells them.

    The resource changes nothing on the host. The features are required on x86 only. Other processors have no
    such features, and programs for other processors do not need the features.
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
        """Declare the processor features that a program needs.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            program: the program that needs the features. Declare a program only once for each host.
            features: flags of /proc/cpuinfo, such as "avx".
            reason: why the program needs the features, for the error if a feature is missing.
            hint: what to do if a feature is missing, for the same error.
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
