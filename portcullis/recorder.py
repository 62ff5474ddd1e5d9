"""Runs a Pulumi program without Pulumi's engine and hosts, and records the resources that it registers.

`portcullis plan` compares the recorded resources with the hosts. `portcullis policy` checks them against the
policies, and the unit tests compare them.
"""

from __future__ import annotations

import asyncio
import logging
import runpy
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.runtime import mocks, rpc, run_in_stack, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

HOST_TYPES = "portcullis:index:"
"""The first part of the type of every host resource and every component. The name of the kind follows."""
_STACK_TYPE = "pulumi:pulumi:Stack"


@dataclass(frozen=True, slots=True)
class Registered:
    """One resource as the Pulumi program registers it.

    Attributes:
        request: the message to Pulumi's engine, with the type, the name and the options.
        urn: the URN of the resource.
        inputs: the resource's properties as the SDK reads them. Secret inputs are marked as secret. A value
            that is not known yet is a `pulumi.output.Unknown`.
        outputs: the outputs that a component registers, in the same form.
    """

    request: Any
    urn: str
    inputs: dict[str, Any]
    outputs: dict[str, Any] = field(default_factory=dict)


class Recorder(mocks.MockMonitor, mocks.Mocks):
    """Records every registration of a resource and creates nothing.

    In this recording, the outputs of a resource are equal to its inputs.
    """

    def __init__(self, made_up: Callable[[str, str], Mapping[str, Any]]) -> None:
        """`made_up` replaces the provider: it returns further outputs for the type and name of a resource."""
        super().__init__(self)
        self.registered: list[Registered] = []
        self._made_up = made_up

    def make_urn(self, parent: str, type_: str, name: str) -> str:
        """Return a resource's URN in the form of Pulumi's engine.

        The SDK's own method keeps only one parent in the type.
        """
        above = parent.split("::")[2].removeprefix(_STACK_TYPE).removeprefix("$") if parent else ""
        types = "$".join(filter(None, (above, type_)))
        return f"urn:pulumi:{pulumi.get_stack()}::{pulumi.get_project()}::{types}::{name}"

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the name in the protocol
        """Record the registration of a resource.

        This method records the message, because `new_resource` does not get the whole message.
        """
        # The SDK opens an event loop in each of its threads and never closes it, so we give it one.
        with _event_loop():
            if request.type != _STACK_TYPE:
                urn = self.make_urn(request.parent, request.type, request.name)
                self.registered.append(Registered(request, urn, rpc.deserialize_properties(request.object)))
            return super().RegisterResource(request)  # type: ignore[no-untyped-call]

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802 - as above
        """Record the outputs of a component."""
        for one in self.registered:
            if one.urn == request.urn:
                one.outputs.update(rpc.deserialize_properties(request.outputs))
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        """Return a resource's inputs and the made-up outputs."""
        return f"{args.name}-id", {**args.inputs, **self._made_up(args.typ, args.name)}

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        """Return an empty answer: no program of ours calls provider functions."""
        del args
        return {}, None


def record(
    recorder: Recorder,
    program: Callable[[], object],
    *,
    project: str,
    stack: str,
    preview: bool,
    config: Mapping[str, str],
    secret_keys: Sequence[str] = (),
) -> None:
    """Run a program until all its resources are registered.

    Args:
        recorder: the object that records the registrations.
        program: a function that runs the Pulumi program. An exception of the function is passed on to the
            caller.
        project: the project's name.
        stack: the stack's name.
        preview: whether outputs that only a provider knows are unknown.
        config: the configuration as Pulumi passes it to a program: the values as texts, each under its full
            key.
        secret_keys: the encrypted keys of `config`. Messages about faults do not quote the values of these
            keys.
    """
    # Pulumi's language host does the same: asyncio would log the pending tasks of a program that ends early.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    with _event_loop() as loop:
        mocks.set_mocks(recorder, project=project, stack=stack, preview=preview, monitor=recorder)
        pulumi.runtime.set_all_config(dict(config), list(secret_keys))
        # set_mocks has made a stack. run_in_stack makes another stack, which also runs the function that the
        # program passes to `pulumi.run`.
        settings.ROOT.set(None)
        # Tasks of an earlier program belong to its own event loop, so this program must not wait for them.
        settings.SETTINGS.rpc_manager.clear()
        settings.SETTINGS.outputs.clear()

        def run() -> None:
            program()

        try:
            loop.run_until_complete(run_in_stack(run))
        finally:
            pulumi.runtime.set_all_config({}, [])
            settings.reset_options()


def run_project() -> None:
    """Run the Pulumi program of the project in the working folder.

    The program can import modules from its own folder, as in Pulumi.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    runpy.run_path("__main__.py", run_name="__main__")


def plain(value: Any) -> Any:
    """Return a value without secret marks, at any depth."""
    if rpc.is_rpc_secret(value):
        return plain(rpc.unwrap_rpc_secret(value))
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


@contextmanager
def _event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Give this thread an event loop, and close the loop at the end."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        yield loop
    finally:
        asyncio.set_event_loop(None)
        loop.close()
