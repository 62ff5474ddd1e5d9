"""The resources of a stack, without an engine and without a host: the program run with recorded resources."""

from __future__ import annotations

import asyncio
import json
import logging
import runpy
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pulumi
from google.protobuf import json_format
from pulumi.runtime import mocks, rpc, settings

from portcullis.policy.model import UNKNOWN, Resource

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - what Pulumi marks secrets with, and none itself
_UNKNOWNS = frozenset(
    {
        rpc.UNKNOWN,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)
"""What the engine writes in the place of a value that is not known yet, by its type."""
_MADE_UP: dict[str, dict[str, Any]] = {
    # A site's file names the port of a release, which its host picks: any will do to judge the rest by.
    "portcullis:index:Release": {"number": 1, "port": 20001, "previous_image": ""},
    # One that is made for somebody's tunnel; what stands before it is what is judged.
    "tls:index/privateKey:PrivateKey": {
        "publicKeyOpenssh": "ssh-ed25519 "
        "AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq\n"
    },
}


class NoResources(Exception):
    """Why there is nothing to judge; for people."""


def plain(value: Any) -> Any:
    """Give a property without the marks of secrets, and UNKNOWN for what is not known yet."""
    if isinstance(value, str):
        return UNKNOWN if value in _UNKNOWNS else value
    if isinstance(value, dict):
        if value.get(_SIGNATURE) == _SECRET:
            return plain(value.get("value"))
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float) else UNKNOWN


class Recorder(mocks.MockMonitor, mocks.Mocks):
    """Takes every registration as a preview of a new stack does, and creates nothing."""

    def __init__(self) -> None:
        super().__init__(self)
        self._taken: dict[str, tuple[Any, dict[str, Any]]] = {}

    @property
    def declared(self) -> list[Resource]:
        """What the program declared, each with what its component says of itself."""
        return [
            Resource(request.type, request.name, urn, props, bool(request.protect))
            for urn, (request, props) in self._taken.items()
        ]

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the name in the protocol
        """Take the registration down."""
        # The SDK makes an event loop in each of its threads, and leaves it open.
        with _event_loop():
            answer = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        if request.type != "pulumi:pulumi:Stack":
            self._taken[answer.urn] = (request, _properties(request.object))
        return answer

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802 - as above
        """Take down what a component says about itself."""
        if request.urn in self._taken:
            self._taken[request.urn][1].update(_properties(request.outputs))
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        """Give back what was declared; what only a provider knows stays unknown, but for a little."""
        return f"{args.name}-id", {**args.inputs, **_MADE_UP.get(args.typ, {})}

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        """Answer a look-up with nothing: no property that is judged depends on one."""
        del args
        return {}, None


def _properties(struct: Any) -> dict[str, Any]:
    return {key: plain(value) for key, value in json_format.MessageToDict(struct).items()}


def of_program(
    config: Mapping[str, str],
    secret_keys: Sequence[str] = (),
    *,
    project: str = "portcullis",
    stack: str = "lab",
) -> list[Resource]:
    """Run `__main__.py` of this folder with a configuration and give what it declares.

    Args:
        config: full key to value in text, as Pulumi hands it to a program.
        secret_keys: those of them that are encrypted.
        project: the project's name.
        stack: the stack's name.

    Raises:
        NoResources: the program refused its settings; it has told why.
    """
    # A program that ends early leaves a task that nobody waits for.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    recorder = Recorder()
    with _event_loop():
        mocks.set_mocks(recorder, project=project, stack=stack, preview=True, monitor=recorder)
        pulumi.runtime.set_all_config(dict(config), list(secret_keys))

        @pulumi.runtime.test  # type: ignore[untyped-decorator]
        def run() -> pulumi.Output[None]:
            runpy.run_path("__main__.py", run_name="__main__")
            return pulumi.Output.from_input(None)

        try:
            run()
        except SystemExit:
            raise NoResources("the program refused these settings, as told above") from None
        finally:
            pulumi.runtime.set_all_config({}, [])
            settings.reset_options()
    return recorder.declared


@contextmanager
def _event_loop() -> Iterator[None]:
    """Give this thread an event loop, and close it."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        yield
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def configuration(stack: str) -> tuple[dict[str, str], list[str]]:
    """Ask pulumi for a stack's configuration, and for the keys of it that are encrypted.

    Raises:
        NoResources: pulumi is not there, or refuses.
    """
    argv = ["pulumi", "config", "--stack", stack, "--show-secrets", "--json"]
    try:
        asked = subprocess.run(argv, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise NoResources("pulumi is not installed; `. tools/env.sh` finds the lab's") from None
    if asked.returncode:
        raise NoResources(asked.stderr.strip() or f"pulumi config ended with {asked.returncode}")
    return read_configuration(asked.stdout)


def read_configuration(text: str) -> tuple[dict[str, str], list[str]]:
    """Read what `pulumi config --json --show-secrets` prints: values by key, and which keys are encrypted."""
    values = json.loads(text)
    config = {
        key: found["value"] if "value" in found else json.dumps(found["objectValue"])
        for key, found in values.items()
    }
    return config, [key for key, found in values.items() if found.get("secret")]
