"""Passwords that nobody types: made once, kept in state as secrets, changed when the settings say so.

The provider is pickled by reference into each resource's state: its module path and name stay for ever, and
instances carry no attributes. It needs no host: random bytes come from the machine that deploys.
"""

from __future__ import annotations

import secrets
import string
import traceback
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)

from portcullis.host.provider import message_of_current_exception
from portcullis.provider.engine import end_with_engine

if TYPE_CHECKING:
    from pulumi.dynamic import ConfigureRequest

_LETTERS = string.ascii_letters + string.digits
_SHORTEST, _LONGEST = 20, 128
_INPUTS = ("length", "rotate")

Props = dict[str, Any]


class GeneratedSecretProvider(ResourceProvider):
    """Provider of `GeneratedSecret`; its module path is part of every state."""

    serialize_as_secret_always = False

    def configure(self, req: ConfigureRequest) -> None:
        """Print exceptions as our one message; end when the engine does."""
        del req
        end_with_engine()
        traceback.format_exc = message_of_current_exception

    def check(self, _olds: Props, news: Props) -> CheckResult:
        """Refuse what would be a weak secret; the last net behind the constructor."""
        inputs = {key: news[key] for key in _INPUTS if news.get(key) is not None}
        failures = [CheckFailure(key, fault) for key, fault in _faults(**inputs)]
        return CheckResult(inputs, failures)

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        """Change only for another `rotate`; the outputs hold the word of the last rotation.

        Taking the word away makes no new secret, nor does another length: it counts from the next rotation.
        Said with False the engine takes the new inputs over and leaves the outputs, which is just that.
        """
        word = news.get("rotate")
        return DiffResult(changes=None if word is not None and word != olds.get("rotate") else False)

    def create(self, props: Props) -> CreateResult:
        """Make the first secret."""
        return CreateResult(secrets.token_hex(8), _outputs(props, previous="", generation=1))

    def update(self, _id: str, olds: Props, news: Props) -> UpdateResult:
        """Rotate: the secret becomes the previous one."""
        generation = int(olds["generation"]) + 1
        return UpdateResult(_outputs(news, previous=olds["value"], generation=generation))

    def read(self, id_: str, props: Props) -> ReadResult:
        """Return what state holds: it is the only place where the secret lives."""
        return ReadResult(id_, props)


def _outputs(props: Props, *, previous: str, generation: int) -> Props:
    value = "".join(secrets.choice(_LETTERS) for _ in range(int(props["length"])))
    inputs = {key: props[key] for key in _INPUTS if key in props}
    return {**inputs, "value": value, "previous": previous, "generation": generation}


def _faults(*, length: float = _LONGEST, rotate: object = "") -> list[tuple[str, str]]:
    faults = []
    if not (isinstance(length, int | float) and _SHORTEST <= length <= _LONGEST and length == int(length)):
        faults.append(("length", f"{length!r} is not a whole number between {_SHORTEST} and {_LONGEST}"))
    if not isinstance(rotate, str):
        faults.append(("rotate", f"{rotate!r} is not a text, such as 2026-12"))
    return faults


class GeneratedSecret(Resource, module="portcullis", name="GeneratedSecret"):
    """A random secret of letters and digits, safe in URLs, YAML and shells; 40 of them are 238 bits.

    Another `rotate` makes a new one in place and keeps the one before as `previous`. In the preview of a
    rotation all three outputs are unknown, so whatever depends on them shows that it will change.

    Attributes:
        value: the secret.
        previous: the one before; "" until the first rotation. A secret too.
        generation: 1, and one more with each rotation. Not a secret. A number: put it into texts with
            `pulumi.Output.format`, for `concat` takes texts only.
    """

    value: pulumi.Output[str]
    previous: pulumi.Output[str]
    generation: pulumi.Output[int]

    def __init__(
        self,
        name: str,
        *,
        rotate: str | None = None,
        length: int = 40,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the secret.

        Args:
            name: the resource's name.
            rotate: any word, such as "2026-12"; a new word makes a new secret, no word never does.
            length: how many letters and digits, 20 to 128; another length counts from the next rotation.
            opts: resource options.

        Raises:
            ValueError: for a length that cannot be used.
        """
        faults = _faults(length=length, rotate="" if rotate is None else rotate)
        if faults:
            raise ValueError("\n".join(f"GeneratedSecret {name}: {key}: {fault}" for key, fault in faults))
        outputs = dict.fromkeys(("value", "previous", "generation"))
        # A plugin answers in clear, and the engine marks by itself only what was a secret input.
        marked = pulumi.ResourceOptions(additional_secret_outputs=["value", "previous"])
        super().__init__(
            GeneratedSecretProvider(),
            name,
            {"length": length, "rotate": rotate, **outputs},
            pulumi.ResourceOptions.merge(opts, marked),
        )
        # For previews, where they are unknown and so not marked by the engine, and for mocks.
        self.value = pulumi.Output.secret(self.value)
        self.previous = pulumi.Output.secret(self.previous)
