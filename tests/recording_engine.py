"""The recorder for unit tests.

The recorder has made-up outputs of providers, and methods that find declared resources.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from pulumi.runtime import mocks, resource, rpc
from pulumi.runtime.proto import source_pb2

from portcullis import recorder

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = recorder.HOST_TYPES.removesuffix(":")
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
    """One resource as it reached the engine.

    `secret` has the names of the inputs that are marked as secret.
    """

    type: str
    name: str
    inputs: dict[str, Any]
    secret: frozenset[str]
    parent: str
    after: frozenset[str]
    provider: str
    options: Any

    @property
    def is_on_host(self) -> bool:
        """Whether the resource is on a host, and is not a component."""
        return bool(self.options.custom) and self.type.startswith(recorder.HOST_TYPES)


class Engine(recorder.Recorder):
    """Answers every registration with what was declared, and with what only a provider knows."""

    def __init__(self, *, preview: bool) -> None:
        # A preview has no outputs of providers, as with a real engine.
        super().__init__(lambda type_, name: {} if preview else _made_up(type_, name))
        self.preview = preview
        self.outputs: dict[str, dict[str, Any]] = {}

    @property
    def declared(self) -> list[Registered]:
        """All resources that the program registered, in order."""
        return [_registered(one) for one in self.registered]

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802 - the name in the protocol
        """Record the outputs of a component or of the stack."""
        self.outputs[_name(request.urn)] = rpc.deserialize_properties(request.outputs)
        return super().RegisterResourceOutputs(request)

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        """Fail: no program of Portcullis calls a provider function.

        A program with such a call needs an answer here.
        """
        raise AssertionError(f"unexpected look-up {args.token}")

    def one(self, type_: str, name: str = "") -> Registered:
        """Return the only resource of a type, or of a type and name."""
        found = [r for r in self.declared if r.type.endswith(type_) and name in ("", r.name)]
        assert len(found) == 1, f"{type_} {name}: {[(r.type, r.name) for r in self.declared]}"
        return found[0]

    def of(self, type_: str) -> list[Registered]:
        """Return all resources of a type."""
        return [r for r in self.declared if r.type.endswith(type_)]

    def before(self, name: str) -> frozenset[str]:
        """Return the names of all resources that come before a resource, directly or indirectly.

        A child waits for its parent, so the child also comes after the dependencies of its parent.
        """
        requests = {one.urn: one.request for one in self.registered}
        waiting = {urn for urn in requests if _name(urn) == name}
        assert waiting, f"no resource with the name {name} was declared"
        seen: set[str] = set()
        walked: set[str] = set()
        while waiting - walked:
            urn = (waiting - walked).pop()
            walked.add(urn)
            if urn in requests:
                seen |= set(requests[urn].dependencies)
                waiting |= {*requests[urn].dependencies, requests[urn].parent}
        return frozenset(map(_name, seen))


def declare(
    program: Callable[[], object],
    *,
    preview: bool,
    config: dict[str, str] | None = None,
    secret: list[str] | None = None,
) -> Engine:
    """Run a program against the recording engine until everything is registered."""
    engine = Engine(preview=preview)
    recorder.record(
        engine,
        program,
        project="portcullis",
        stack="test",
        preview=preview,
        config=config or {},
        secret_keys=secret or [],
    )
    return engine


def _made_up(type_: str, name: str) -> dict[str, Any]:
    return {
        key: value.replace("{name}", name) if isinstance(value, str) else value
        for key, value in _MADE_UP.get(type_, {}).items()
    }


def _registered(one: recorder.Registered) -> Registered:
    request = one.request
    return Registered(
        type=request.type,
        name=request.name,
        inputs=recorder.plain(one.inputs),
        secret=frozenset(key for key, value in one.inputs.items() if holds_secret(value)),
        parent=_name(request.parent),
        after=frozenset(map(_name, request.dependencies)),
        provider=request.provider.split("::")[-2] if request.provider else "",
        options=request,
    )


def holds_secret(value: Any) -> bool:
    """Return whether a value, or any part of the value, is marked as secret."""
    if rpc.is_rpc_secret(value):
        return True
    if isinstance(value, dict):
        return any(map(holds_secret, value.values()))
    return isinstance(value, list) and any(map(holds_secret, value))


def _name(urn: str) -> str:
    return urn.rpartition("::")[2]


Deploy = Callable[..., "Engine"]


@pytest.fixture
def deploy() -> Deploy:
    """Return a function that runs a program in an update of the recording engine.

    tests/previews.py runs previews.
    """
    return partial(declare, preview=False)


@pytest.fixture(scope="session", autouse=True)
def no_stack_traces() -> Iterator[None]:
    """Send no stack trace with a resource: reading all frames of pytest takes a quarter of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resource, "_get_stack_trace", source_pb2.StackTrace)
        yield


@pytest.fixture(scope="package", autouse=True)
def project_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give each test package its own working folder: a `HardenedHost` writes an ssh_config there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("project"))
        yield
