"""Runs a Pulumi program without an engine and without a host, and takes down what it registers.

`plan` asks the hosts about it, `policy` checks it against the policies, and the unit tests compare it.
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
"""What the type of every host resource starts with, as that of a component does; its kind follows."""
_STACK_TYPE = "pulumi:pulumi:Stack"


@dataclass(frozen=True, slots=True)
class Registered:
    """One resource as the program registers it.

    Attributes:
        request: the message to the engine, with the type, the name and the options.
        urn: the resource's whole name.
        inputs: its properties as the SDK reads them: secrets are marked, and what is not
            known yet is a `pulumi.output.Unknown`.
        outputs: what a component says about itself at its end, in the same form.
    """

    request: Any
    urn: str
    inputs: dict[str, Any]
    outputs: dict[str, Any] = field(default_factory=dict)


class Recorder(mocks.MockMonitor, mocks.Mocks):
    """Takes every registration and creates nothing. A resource gives back what it declares."""

    def __init__(self, made_up: Callable[[str, str], Mapping[str, Any]]) -> None:
        """`made_up` gives, for a type and a name, the outputs that only a provider would know."""
        super().__init__(self)
        self.registered: list[Registered] = []
        self._made_up = made_up

    def make_urn(self, parent: str, type_: str, name: str) -> str:
        """Return the URN as the engine has it; the SDK's own keeps one parent only, the stack among them."""
        above = parent.split("::")[2].removeprefix(_STACK_TYPE).removeprefix("$") if parent else ""
        types = "$".join(filter(None, (above, type_)))
        return f"urn:pulumi:{pulumi.get_stack()}::{pulumi.get_project()}::{types}::{name}"

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the name in the protocol
        """Take the registration down, with what `new_resource` is not told."""
        # The SDK makes an event loop in each of its threads, and leaves it open.
        with _event_loop():
            if request.type != _STACK_TYPE:
                urn = self.make_urn(request.parent, request.type, request.name)
                self.registered.append(Registered(request, urn, rpc.deserialize_properties(request.object)))
            return super().RegisterResource(request)  # type: ignore[no-untyped-call]

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802 - as above
        """Take down what a component says about itself."""
        for one in self.registered:
            if one.urn == request.urn:
                one.outputs.update(rpc.deserialize_properties(request.outputs))
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        """Give back what was declared, and what is made up."""
        return f"{args.name}-id", {**args.inputs, **self._made_up(args.typ, args.name)}

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        """Answer a look-up with nothing: no program of ours looks anything up."""
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
    """Run a program until everything is registered.

    Args:
        recorder: what takes the registrations down.
        program: the program. What it raises goes through.
        project: the project's name.
        stack: the stack's name.
        preview: whether what only a provider knows is unknown.
        config: full key to value in text, as Pulumi hands it to a program.
        secret_keys: those of them that are encrypted; a message about a fault does not quote these.
    """
    # As Pulumi's language host does: a program that ends early leaves tasks that nobody waits for.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    with _event_loop() as loop:
        mocks.set_mocks(recorder, project=project, stack=stack, preview=preview, monitor=recorder)
        pulumi.runtime.set_all_config(dict(config), list(secret_keys))
        # The mocks made a stack already. The one made below runs what the program gives to `pulumi.run`, too.
        settings.ROOT.set(None)
        # What an earlier program left belongs to its own event loop: nobody may wait for it here.
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
    """Run the program of the project in the working folder. It finds modules beside it, as under Pulumi."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    runpy.run_path("__main__.py", run_name="__main__")


def plain(value: Any) -> Any:
    """Return a value without the marks of secrets, at any depth."""
    if rpc.is_rpc_secret(value):
        return plain(rpc.unwrap_rpc_secret(value))
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


@contextmanager
def _event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Give this thread an event loop, and close it."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        yield loop
    finally:
        asyncio.set_event_loop(None)
        loop.close()
