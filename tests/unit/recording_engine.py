"""A Pulumi engine for unit tests: it takes every registration down and creates nothing."""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pulumi
import pulumi.runtime
from pulumi.runtime import mocks, rpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOST = "portcullis:index"
_MADE_UP: dict[str, dict[str, Any]] = {
    "docker:index/remoteImage:RemoteImage": {"imageId": "sha256:" + "1" * 64},
    f"{HOST}:File": {"revision": "r1"},
    f"{HOST}:Packages": {"revision": "r1"},
    f"{HOST}:Certificate": {"revision": "r1", "issuer": "An Authority"},
    # {name} is the resource's.
    "tls:index/privateKey:PrivateKey": {
        "privateKeyPem": "{name} pem",
        "privateKeyPemPkcs8": "{name} pkcs8",
        "privateKeyOpenssh": "{name} openssh",
        "publicKeyOpenssh": "ssh-ed25519 "
        "AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq\n",
    },
    "tls:index/certRequest:CertRequest": {"certRequestPem": "{name} pem"},
    "tls:index/selfSignedCert:SelfSignedCert": {"certPem": "{name} pem"},
    "tls:index/locallySignedCert:LocallySignedCert": {"certPem": "{name} pem"},
    f"{HOST}:Release": {"number": 1, "port": 20001, "previous_image": ""},
    f"{HOST}:GeneratedSecret": {"value": "generated-{name}", "previous": "", "generation": 1},
}


@dataclass(frozen=True, slots=True)
class Registered:
    """One resource as it reached the engine. `secret` names the inputs that were marked."""

    type: str
    name: str
    inputs: dict[str, Any]
    secret: frozenset[str]
    parent: str
    after: frozenset[str]
    provider: str
    options: Any


class Engine(mocks.MockMonitor, mocks.Mocks):
    """Answers every registration with what was declared, and with what only a provider knows."""

    def __init__(self, *, preview: bool) -> None:
        super().__init__(self)
        self.preview = preview
        self.declared: list[Registered] = []
        self.outputs: dict[str, dict[str, Any]] = {}

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the name in the protocol
        """Take the registration down, with the options that Mocks.new_resource does not see."""
        if request.type != "pulumi:pulumi:Stack":
            inputs = rpc.deserialize_properties(request.object)
            self.declared.append(
                Registered(
                    type=request.type,
                    name=request.name,
                    inputs=plain(inputs),
                    secret=frozenset(key for key, value in inputs.items() if holds_secret(value)),
                    parent=_name(request.parent),
                    after=frozenset(map(_name, request.dependencies)),
                    provider=request.provider.split("::")[-2] if request.provider else "",
                    options=request,
                )
            )
        with _event_loop():
            return super().RegisterResource(request)

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802 - as above
        """Take down what a component says about itself."""
        self.outputs[_name(request.urn)] = rpc.deserialize_properties(request.outputs)
        return super().RegisterResourceOutputs(request)

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        """Give back what was declared; what only a provider knows is unknown in a preview, as in reality."""
        made_up: dict[str, Any] = {} if self.preview else _MADE_UP.get(args.typ, {})
        known = {
            key: value.replace("{name}", args.name) if isinstance(value, str) else value
            for key, value in made_up.items()
        }
        return f"{args.name}-id", {**args.inputs, **known}

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        """No program of ours looks anything up; a new one has to be answered here."""
        raise AssertionError(f"unexpected look-up {args.token}")

    def one(self, type_: str, name: str = "") -> Registered:
        """Give the only resource of a type, or of a type and name."""
        found = [r for r in self.declared if r.type.endswith(type_) and name in ("", r.name)]
        assert len(found) == 1, f"{type_} {name}: {[(r.type, r.name) for r in self.declared]}"
        return found[0]

    def of(self, type_: str) -> list[Registered]:
        """Give all resources of a type."""
        return [r for r in self.declared if r.type.endswith(type_)]

    def before(self, name: str) -> frozenset[str]:
        """Name everything that is done before a resource, however indirectly."""
        by_name = {r.name: r for r in self.declared}
        seen: set[str] = set()
        waiting = [name]
        while waiting:
            for dependency in by_name[waiting.pop()].after - seen:
                seen.add(dependency)
                waiting += [dependency] if dependency in by_name else []
        return frozenset(seen)


@contextmanager
def engine(
    *, preview: bool, config: dict[str, str] | None = None, secret: list[str] | None = None
) -> Iterator[Engine]:
    """Make Pulumi talk to a recording engine for a while."""
    recorder = Engine(preview=preview)
    # As Pulumi's language host does: a program that ends early leaves tasks that nobody waits for.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    with _event_loop():
        pulumi.runtime.set_mocks(
            recorder, project="portcullis", stack="test", preview=preview, monitor=recorder
        )
        pulumi.runtime.set_all_config(config or {}, secret or [])
        try:
            yield recorder
        finally:
            pulumi.runtime.set_all_config({}, [])
            pulumi.runtime.settings.reset_options()


def declare(program: Callable[[], object], *, preview: bool, **settings: Any) -> Engine:
    """Run a program against the recording engine until everything is registered."""
    with engine(preview=preview, **settings) as recorder:

        @pulumi.runtime.test
        def run() -> pulumi.Output[None]:
            program()
            return pulumi.Output.from_input(None)

        run()
    return recorder


def plain(value: Any) -> Any:
    """Take the marks of secrets off, at any depth."""
    if rpc.is_rpc_secret(value):
        return plain(rpc.unwrap_rpc_secret(value))
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def holds_secret(value: Any) -> bool:
    """Tell whether a value is marked secret, or anything in it."""
    if rpc.is_rpc_secret(value):
        return True
    if isinstance(value, dict):
        return any(map(holds_secret, value.values()))
    return isinstance(value, list) and any(map(holds_secret, value))


@contextmanager
def _event_loop() -> Iterator[None]:
    """Give this thread an event loop, and close it: the SDK makes one in each worker and leaves it open."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        yield
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def _name(urn: str) -> str:
    return urn.rpartition("::")[2]
