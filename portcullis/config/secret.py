"""`Secret` holds a secret of the settings or of a program until a resource takes it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from portcullis.config.faults import closest

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pulumi

    from portcullis.config.faults import SettingPath


class Secret:
    """A text that no message, f-string or log shows, and that no state holds unencrypted.

    It wraps a text or an output of another resource. The code that reads settings cannot call `Output.secret`
    yet, because Pulumi's event loop may be gone when a resource takes the secret. `output` calls it then.
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
        """The secret for a resource: encrypted in the state, hidden in previews."""
        import pulumi  # noqa: PLC0415 - programs that only read settings work without Pulumi

        return pulumi.Output.secret(self._value)

    @property
    def is_known(self) -> bool:
        """Whether it holds a text, which `reveal` can return."""
        return isinstance(self._value, str)

    def reveal(self) -> str:
        """Return the plain text. The caller must keep it out of argv, logs and messages.

        Raises:
            TypeError: it is an output, whose value only resources know.
        """
        if not isinstance(self._value, str):
            raise TypeError("this secret is an output: give it to a resource")
        return self._value

    def __eq__(self, other: object) -> bool:
        """Compare the values of two secrets."""
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        """Hash the value."""
        return hash(self._value)

    def __repr__(self) -> str:
        """Return a text without the value."""
        return "Secret(…)"

    def __str__(self) -> NoReturn:
        """Refuse the conversion, which would show the secret by accident.

        Raises:
            TypeError: always.
        """
        raise TypeError("a Secret cannot become text: use .output for a resource, or .reveal()")

    def __format__(self, spec: str) -> NoReturn:
        """Refuse as `__str__` does.

        Raises:
            TypeError: always.
        """
        self.__str__()


def is_output(value: Any) -> bool:
    """Tell whether a value is an output. Without Pulumi in this process no value is."""
    loaded = sys.modules.get("pulumi")
    return loaded is not None and isinstance(value, loaded.Output)


class HasSecrets(Protocol):
    """Settings that declare secrets."""

    @property
    def secrets(self) -> Mapping[str, Any]:
        """The values of the secrets, by name."""

    @property
    def whole(self) -> str:
        """The word for what the secrets belong to: "stack", "host" or a component."""

    def how_to_add(self, secret: str) -> str:
        """Return a hint that says how to declare a secret."""


def named_secret(declared: HasSecrets, name: object, at: SettingPath) -> Secret | None:
    """Return the secret with a name. If it is not declared, report that at `at` and return None."""
    if not isinstance(name, str):
        return None
    if name not in declared.secrets:
        # Somebody may have written the secret itself in the place of its name.
        added = declared.how_to_add("NAME" if at.is_secret else name)
        hint = closest(name, declared.secrets) if declared.secrets else added
        at.refuse(name, f"is not a secret of this {declared.whole}", hint)
        return None
    return Secret.of(declared.secrets[name])
