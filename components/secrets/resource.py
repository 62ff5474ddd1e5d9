"""Generated passwords, which Pulumi keeps in the state as secrets, and which you can rotate.

Generated secrets need no host, because the deploying machine generates the random bytes.
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
        """Refuse inputs that would make a weak secret. The constructor makes the same checks."""
        del olds
        inputs = {key: news[key] for key in _INPUTS if news.get(key) is not None}
        known = {key: value for key, value in inputs.items() if is_known(value)}
        failures = [CheckFailure(key, fault) for key, fault in _faults(**known)]
        return CheckResult(inputs, failures)

    def diff(self, id_: str, olds: Props, news: Props) -> DiffResult:
        """Report a change only for a new value of `rotate`.

        The outputs in the state hold the last value of `rotate`.

        Removing `rotate` makes no new secret. Another `length` applies from the next rotation on. Without a
        change of `rotate`, the result is changes=False. Pulumi's engine then stores the new inputs and keeps
        the outputs.
        """
        del id_
        rotate = news.get("rotate")
        return DiffResult(changes=None if rotate is not None and rotate != olds.get("rotate") else False)

    def create(self, props: Props) -> CreateResult:
        """Generate the first secret."""
        return CreateResult(secrets.token_hex(8), _outputs(props, previous="", generation=1))

    def update(self, id_: str, olds: Props, news: Props) -> UpdateResult:
        """Rotate: generate a new secret, and keep the old secret as `previous`."""
        del id_
        generation = int(olds["generation"]) + 1
        return UpdateResult(_outputs(news, previous=olds["value"], generation=generation))

    def read(self, id_: str, props: Props) -> ReadResult:
        """Return the secret from the state, which is its only place."""
        return ReadResult(id_, props, {key: props[key] for key in _INPUTS if key in props})

    def delete(self, id_: str, props: Props) -> None:
        """Do nothing: the engine deletes the secret with its state."""

    def import_(self, id_: str, urn: str) -> ReadResult | None:
        """Refuse to import, because the secret would be visible in a command line.

        Raises:
            HostError: always.
        """
        del id_, urn
        raise HostError(
            "GeneratedSecret cannot be imported: the secret would be visible in the command line of the "
            "import",
            hint="declare the resource without an import to generate a new secret, or put your own secret "
            "into the settings",
        )

    def lines(self, change: Change) -> list[Line]:
        """Report that the secret is generated, rotated or deleted."""
        subject = f"secret {change.name}"
        if change.op == "create":
            return [Line(subject, "new", "up generates it")]
        if change.op == "delete":
            return [Line(subject, "no longer declared", "up removes it")]
        return [Line(subject, "to be rotated", "up generates a new secret")]


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
    """A random secret of letters and digits, safe in URLs, YAML and shells.

    The default of 40 characters has 238 random bits.

    Another value of `rotate` generates a new secret in place, and keeps the old secret as `previous`. In the
    preview of a rotation all three outputs are unknown, so resources that depend on them show a change.

    Attributes:
        value: the secret.
        previous: the secret before the last rotation; "" until the first rotation. `previous` is secret, too.
        generation: the number of secrets so far: 1 at first, plus one with each rotation. The generation is
            not secret. The generation is a number, so put it into texts with `pulumi.Output.format`: `concat`
            takes only texts.
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
            rotate: any text, such as "2026-12". A new text generates a new secret. Without a text the secret
                stays.
            length: the number of characters, 20 to 128. Another length applies from the next rotation.
            opts: resource options.

        Raises:
            ValueError: `length` or `rotate` is invalid.
        """
        faults = _faults(length=length, rotate="" if rotate is None else rotate)
        if faults:
            raise ValueError("\n".join(f"GeneratedSecret {name}: {key}: {fault}" for key, fault in faults))
        assert_plugin_is_named()
        outputs = dict.fromkeys(("value", "previous", "generation"))
        # A plugin answers in clear text, and the engine marks an output as secret only if its input was
        # secret.
        marked = pulumi.ResourceOptions(additional_secret_outputs=[*GeneratedSecretProvider.secrets])
        super().__init__(
            GeneratedSecretProvider.type_token(),
            name,
            {"length": length, "rotate": rotate, **outputs},
            pulumi.ResourceOptions.merge(opts, marked),
        )
        # The engine does not mark unknown outputs in a preview, and unit tests do not mark the outputs of
        # mocks.
        self.value = pulumi.Output.secret(self.value)
        self.previous = pulumi.Output.secret(self.previous)
