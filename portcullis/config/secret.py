"""`Secret` wraps a secret of the settings or of a program until a resource uses it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from portcullis.config.faults import closest

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pulumi

    from portcullis.config.faults import SettingPath


class Secret:
    """A text that no message, f-string or log shows, and that no state contains unencrypted.

    A `Secret` wraps a text or an output of another resource. The code that reads settings cannot call
    `Output.secret` yet, because Pulumi's event loop may be gone when a resource takes the secret. Therefore,
    the property `output` calls `Output.secret` later, when a resource takes the secret.
    """

    __slots__ = ("_value",)

    def __init__(self, value: pulumi.Input[str]) -> None:
        """Wrap a text or an output."""
        self._value = value

    @classmethod
    def of(cls, value: Secret | pulumi.Input[str]) -> Secret:
        """Return a value as a secret."""
        return value if isinstance(value, cls) else cls(value)  # type: ignore[arg-type]

    @property
    def output(self) -> pulumi.Output[str]:
        """The secret as an input for a resource: encrypted in the state, hidden in previews."""
        import pulumi  # noqa: PLC0415 - programs that only read settings work without Pulumi

        return pulumi.Output.secret(self._value)

    @property
    def is_known(self) -> bool:
        """Whether the secret is a text, which `reveal` can return."""
        return isinstance(self._value, str)

    def reveal(self) -> str:
        """Return the plain text. The caller must keep the plain text out of argv, logs and messages.

        Raises:
            TypeError: the secret is an output, whose value only resources know.
        """
        if not isinstance(self._value, str):
            raise TypeError(
                "the secret is an output, whose text is not known yet: pass the output to a resource"
            )
        return self._value

    def __eq__(self, other: object) -> bool:
        """Return whether two secrets have the same value."""
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        """Return a hash of the secret's value."""
        return hash(self._value)

    def __repr__(self) -> str:
        """Return a text that does not show the secret's value."""
        return "Secret(…)"

    def __str__(self) -> NoReturn:
        """Refuse the conversion to text, which would show the secret by accident.

        Raises:
            TypeError: always.
        """
        raise TypeError("a Secret cannot become text: use .output for a resource, or .reveal()")

    def __format__(self, spec: str) -> NoReturn:
        """Refuse the conversion to text, as `__str__` does.

        Raises:
            TypeError: always.
        """
        self.__str__()


def is_output(value: Any) -> bool:
    """Tell whether a value is an output. If this process has not imported Pulumi, no value is an output."""
    loaded = sys.modules.get("pulumi")
    return loaded is not None and isinstance(value, loaded.Output)


class HasSecrets(Protocol):
    """Settings that declare secrets."""

    @property
    def secrets(self) -> Mapping[str, Any]:
        """The values of the secrets, by name."""

    @property
    def whole(self) -> str:
        """What declares the secrets, in one word for messages: "stack", "host" or a component."""

    def how_to_add(self, secret: str) -> str:
        """Return a hint that says how to declare a secret."""


def named_secret(declared: HasSecrets, name: object, at: SettingPath) -> Secret | None:
    """Return the secret with a name. If the name is not declared, report a fault at `at` and return None."""
    if not isinstance(name, str):
        return None
    if name not in declared.secrets:
        # Somebody may have written the secret itself instead of its name.
        added = declared.how_to_add("NAME" if at.is_secret else name)
        hint = closest(name, declared.secrets) if declared.secrets else added
        at.refuse(name, f"is not a secret of this {declared.whole}", hint)
        return None
    return Secret.of(declared.secrets[name])
