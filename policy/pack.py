"""Serve the policies to the engine as a Pulumi policy pack."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, Any

import pulumi
import pulumi_policy
from pulumi_policy import policy as sdk
from pulumi_policy.deserialize import serialize_properties

from portcullis.config.faults import SettingsError
from portcullis.policy import args as policies
from portcullis.policy.catalogue import POLICIES
from portcullis.policy.model import Resource
from portcullis.policy.program import plain
from portcullis.policy.verdict import severity_of, verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from portcullis.policy.args import PolicyArgs
    from portcullis.policy.model import Policy

NAME = "portcullis"
_KEY = "portcullis:policy"
_LEVELS = {
    "stop": pulumi_policy.EnforcementLevel.MANDATORY,
    "warn": pulumi_policy.EnforcementLevel.ADVISORY,
    "off": pulumi_policy.EnforcementLevel.DISABLED,
}


class _Stack:
    """The stack's settings of policies. There are no exemptions until the engine passes these settings."""

    def __init__(self) -> None:
        self.settings: PolicyArgs = policies.PolicyArgs()
        self.policies = {policy.name: self._official(policy) for policy in POLICIES}

    def configure(self, text: str | None) -> None:
        """Read the severities and exemptions of the stack.

        The program itself also refuses faulty settings.
        """
        try:
            self.settings = policies.of_config(text)
        except SettingsError as error:
            pulumi.log.warn(f"All policies keep their defaults, without exemptions: {error}")
            self.settings = policies.PolicyArgs()
        for policy in POLICIES:
            self.policies[policy.name].enforcement_level = _LEVELS[severity_of(policy, self.settings)]

    def _official(self, policy: Policy) -> pulumi_policy.Policy:
        common: dict[str, Any] = {
            "name": policy.name,
            "description": policy.rule,
            "enforcement_level": _LEVELS[policy.severity],
            "remediation_steps": policy.fix,
        }
        if policy.check_stack is None:
            return pulumi_policy.ResourceValidationPolicy(
                validate=lambda args, report: self._validate(policy, [args], report), **common
            )
        return pulumi_policy.StackValidationPolicy(
            validate=lambda args, report: self._validate(policy, args.resources, report), **common
        )

    def _validate(self, policy: Policy, given: list[Any], report: Callable[..., None]) -> None:
        for found in policy.found([_resource(one) for one in given]):
            one = verdict(policy, found, self.settings)
            if not one.exempt:
                report(one.message, one.urn or None)


def _resource(given: Any) -> Resource:
    """Convert a resource of the SDK, whose properties raise errors for unknown values."""
    return Resource(
        given.resource_type,
        given.name,
        given.urn,
        plain(serialize_properties(given.props)),
        given.opts.protect,
    )


def serve() -> None:
    """Serve the pack until the engine ends it."""
    # The SDK writes its port without a flush, and not every language host starts Python unbuffered.
    sys.stdout = io.TextIOWrapper(io.FileIO(sys.stdout.fileno(), "w", closefd=False), write_through=True)
    stack = _Stack()
    # Older engines pass the configuration in the environment, newer engines pass it by the call below.
    stack.configure(pulumi.runtime.get_config_env().get(_KEY) if "PULUMI_CONFIG" in os.environ else None)

    class Servicer(sdk._PolicyAnalyzerServicer):  # noqa: SLF001 - see below
        """This class also reads the stack's configuration, which the SDK's own class ignores."""

        def ConfigureStack(self, request: Any, context: Any) -> Any:  # noqa: N802 - the name in the protocol
            """Read the configuration before the engine asks for the severities."""
            stack.configure(request.config.get(_KEY))
            return super().ConfigureStack(request, context)

    # PolicyPack creates its servicer by this name.
    vars(sdk)["_PolicyAnalyzerServicer"] = Servicer
    pulumi_policy.PolicyPack(
        NAME,
        policies=list(stack.policies.values()),
        enforcement_level=pulumi_policy.EnforcementLevel.MANDATORY,
    )
