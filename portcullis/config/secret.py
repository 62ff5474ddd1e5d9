"""A secret from the settings or from a program, on its way to a resource."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from portcullis.config.faults import closest

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pulumi

    from portcullis.config.faults import SettingPath


class Secret:
    """A text that is never shown: neither in a message nor in an f-string, a log or a state in clear.

    It wraps a text, or an output of another resource. `Output.secret` cannot be made while settings are
    read, because Pulumi's event loop may be gone by then; `output` makes it where a resource takes it.
    """

    __slots__ = ("_value",)

    def __init__(self, value: pulumi.Input[str]) -> None:
        """Keep a text, or an output."""
        self._value = value

    @classmethod
    def of(cls, value: Secret | pulumi.Input[str]) -> Secret:
        """Return a value as a secret."""
        return value if isinstance(value, cls) else cls(value)  # type: ignore[arg-type]

    @property
    def output(self) -> pulumi.Output[str]:
        """The secret for a resource: encrypted in the state, hidden in previews."""
        import pulumi  # noqa: PLC0415 - what only reads settings does without it

        return pulumi.Output.secret(self._value)

    @property
    def is_known(self) -> bool:
        """Whether it is a text, which `reveal` can give."""
        return isinstance(self._value, str)

    def reveal(self) -> str:
        """Return the text in clear. Whoever calls this keeps it out of argv, logs and messages.

        Raises:
            TypeError: it is an output, known only to resources.
        """
        if not isinstance(self._value, str):
            raise TypeError("this secret is an output: give it to a resource")
        return self._value

    def __eq__(self, other: object) -> bool:
        """Two secrets are equal where their values are."""
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        """By the value."""
        return hash(self._value)

    def __repr__(self) -> str:
        """Only that it is one."""
        return "Secret(…)"

    def __str__(self) -> NoReturn:
        """Refuse to become a text by accident.

        Raises:
            TypeError: always.
        """
        raise TypeError("a secret is no text: write .output for a resource, or .reveal()")

    def __format__(self, spec: str) -> NoReturn:
        """Refuse as `__str__` does.

        Raises:
            TypeError: always.
        """
        self.__str__()


def is_output(value: Any) -> bool:
    """Tell whether a value is known to resources only. Without Pulumi in this process there is none."""
    loaded = sys.modules.get("pulumi")
    return loaded is not None and isinstance(value, loaded.Output)


class HasSecrets(Protocol):
    """What is declared, with the secrets that its parts name."""

    @property
    def secrets(self) -> Mapping[str, Any]:
        """What the secrets hold, by name."""

    @property
    def whole(self) -> str:
        """What the secrets are part of: "stack", "host" or a component."""

    def how_to_add(self, secret: str) -> str:
        """Return how a secret is declared."""


def named_secret(declared: HasSecrets, name: object, at: SettingPath) -> Secret | None:
    """Return the secret that is named at a place, or None after reporting that there is none of that name."""
    if not isinstance(name, str):
        return None
    if name not in declared.secrets:
        # Somebody may have written the secret itself where its name belongs.
        added = declared.how_to_add("NAME" if at.is_secret else name)
        hint = closest(name, declared.secrets) if declared.secrets else added
        at.refuse(name, f"is not a secret of this {declared.whole}", hint)
        return None
    return Secret.of(declared.secrets[name])
