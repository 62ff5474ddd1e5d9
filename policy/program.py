"""Record the resources of a stack by running its program without an engine and without a host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pulumi.runtime import rpc

from portcullis.policy.model import UNKNOWN, Resource
from portcullis.recorder import HOST_TYPES, Recorder, record, run_project

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - Pulumi's mark of secrets, itself no secret
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
"""The engine writes one of these texts for a value that is not known yet. There is one for each type."""
_MADE_UP: dict[str, dict[str, Any]] = {
    # A site's file contains the port of a release, which the host chooses. For a check, any port is good
    # enough.
    f"{HOST_TYPES}Release": {"number": 1, "port": 20001, "previous_image": ""},
    # The component makes a key for a person's tunnel. The policies check only the options before the key.
    "tls:index/privateKey:PrivateKey": {
        "publicKeyOpenssh": "ssh-ed25519 "
        "AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq\n"
    },
}


class NoResources(Exception):
    """The program gave no resources to check. The text of the exception says why."""


def plain(value: Any) -> Any:
    """Return a property without secret marks, with UNKNOWN in the place of unknown values."""
    if isinstance(value, str):
        return UNKNOWN if value in _UNKNOWNS else value
    if isinstance(value, dict):
        if value.get(_SIGNATURE) == _SECRET:
            return plain(value.get("value"))
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float) else UNKNOWN


def of_program(
    config: Mapping[str, str],
    secret_keys: Sequence[str] = (),
    *,
    project: str = "portcullis",
    stack: str = "lab",
) -> list[Resource]:
    """Run the program in the working folder with a configuration, and return the resources that it declares.

    Args:
        config: the configuration as Pulumi passes it to a program: full key to value as text.
        secret_keys: the encrypted keys of `config`.
        project: the project's name.
        stack: the stack's name.

    Raises:
        NoResources: the program refused its settings and has reported why.
    """
    recorder = Recorder(lambda type_, _name: _MADE_UP.get(type_, {}))
    try:
        record(
            recorder,
            run_project,
            project=project,
            stack=stack,
            preview=True,
            config=config,
            secret_keys=secret_keys,
        )
    except SystemExit:
        raise NoResources(
            "the Pulumi program refused the settings of the stack; the message of the program is above"
        ) from None
    return [
        Resource(
            one.request.type,
            one.request.name,
            one.urn,
            plain({**one.inputs, **one.outputs}),
            bool(one.request.protect),
        )
        for one in recorder.registered
    ]
