"""Passwords that nobody types: made once, kept in state as secrets, changed when the settings say so.

They need no host: random bytes come from the machine that deploys.
"""

from __future__ import annotations

import secrets
import string
from typing import TYPE_CHECKING

import pulumi

from portcullis.host.errors import HostError
from portcullis.host.provider import is_known
from portcullis.provider.base import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    Props,
    Provider,
    ReadResult,
    UpdateResult,
)
from portcullis.provider.changes import Line, Section
from portcullis.provider.named import assert_plugin_is_named

if TYPE_CHECKING:
    from portcullis.provider.changes import Change

_LETTERS = string.ascii_letters + string.digits
_SHORTEST, _LONGEST = 20, 128
_INPUTS = ("length", "rotate")


class GeneratedSecretProvider(Provider):
    """Provider of `GeneratedSecret`."""

    secrets = ("value", "previous")
    section = Section.DATA

    def check(self, olds: Props, news: Props) -> CheckResult:
        """Refuse what would be a weak secret; the last net behind the constructor."""
        del olds
        inputs = {key: news[key] for key in _INPUTS if news.get(key) is not None}
        known = {key: value for key, value in inputs.items() if is_known(value)}
        failures = [CheckFailure(key, fault) for key, fault in _faults(**known)]
        return CheckResult(inputs, failures)

    def diff(self, id_: str, olds: Props, news: Props) -> DiffResult:
        """Change only for another `rotate`; the outputs hold the word of the last rotation.

        Taking the word away makes no new secret, nor does another length: it counts from the next rotation.
        Said with False the engine takes the new inputs over and leaves the outputs, which is just that.
        """
        del id_
        word = news.get("rotate")
        return DiffResult(changes=None if word is not None and word != olds.get("rotate") else False)

    def create(self, props: Props) -> CreateResult:
        """Make the first secret."""
        return CreateResult(secrets.token_hex(8), _outputs(props, previous="", generation=1))

    def update(self, id_: str, olds: Props, news: Props) -> UpdateResult:
        """Rotate: the secret becomes the previous one."""
        del id_
        generation = int(olds["generation"]) + 1
        return UpdateResult(_outputs(news, previous=olds["value"], generation=generation))

    def read(self, id_: str, props: Props) -> ReadResult:
        """Return what state holds: it is the only place where the secret lives."""
        return ReadResult(id_, props, {key: props[key] for key in _INPUTS if key in props})

    def delete(self, id_: str, props: Props) -> None:
        """Forget it: state is the only place that has it."""

    def import_(self, id_: str, urn: str) -> ReadResult | None:
        """Refuse: the secret would stand in a command line.

        Raises:
            HostError: always.
        """
        del id_, urn
        raise HostError(
            "GeneratedSecret cannot be imported: it would stand in a command line",
            hint="declare it, so that a new one is made; a word of your own is a secret of the settings",
        )

    def lines(self, change: Change) -> list[Line]:
        """Say that it is made, or made anew."""
        subject = f"secret {change.name}"
        if change.op == "create":
            return [Line(subject, "new", "up makes it")]
        if change.op == "delete":
            return [Line(subject, "no longer declared", "up forgets it")]
        return [Line(subject, "to be rotated", "up makes another one")]


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


class GeneratedSecret(pulumi.CustomResource):
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
        assert_plugin_is_named()
        outputs = dict.fromkeys(("value", "previous", "generation"))
        # A plugin answers in clear, and the engine marks by itself only what was a secret input.
        marked = pulumi.ResourceOptions(additional_secret_outputs=[*GeneratedSecretProvider.secrets])
        super().__init__(
            GeneratedSecretProvider.type_token(),
            name,
            {"length": length, "rotate": rotate, **outputs},
            pulumi.ResourceOptions.merge(opts, marked),
        )
        # For previews, where they are unknown and so not marked by the engine, and for mocks.
        self.value = pulumi.Output.secret(self.value)
        self.previous = pulumi.Output.secret(self.previous)
