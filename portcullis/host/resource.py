"""`HostResource`, the base class of all host resources in a program."""

from __future__ import annotations

import inspect
import os
from dataclasses import MISSING
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import pulumi

from portcullis.agent.declared import DERIVED, Declaration, prop
from portcullis.host.host import Host
from portcullis.provider.named import assert_plugin_is_named

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Mapping
    from dataclasses import InitVar

    from portcullis.agent.declared import Prop, Property
    from portcullis.host.provider import HostProvider


class HostResource(pulumi.CustomResource):
    """A resource on a host, such as a file or a service.

    `host` is the alias from the settings, never an address.

    Attributes:
        host: alias of the host.
        revision: changes with every write, so that a service that reads the file can depend on it. In a
            preview, the revision is unknown if `up` will write the resource.
    """

    host: pulumi.Output[str]
    revision: pulumi.Output[str]

    def __init__(
        self,
        provider: type[HostProvider],
        name: str,
        *,
        host: Host | str,
        adopt: bool | None,
        inputs: dict[str, Any],
        outputs: tuple[str, ...] = ("revision",),
        opts: pulumi.ResourceOptions | None,
    ) -> None:
        assert_plugin_is_named()
        if isinstance(host, Host):
            adopt = host.adopt if adopt is None else adopt
            host = host.alias
        # The plugin gets plain values and cannot mark secrets. The engine marks outputs of secret inputs.
        secrets = {
            key: pulumi.Output.secret(inputs[key]) for key in provider.secrets if inputs.get(key) is not None
        }
        props = {
            **inputs,
            **secrets,
            "host": host,
            # Only if it is set: to remove `adopt` later must not show as a change of every resource.
            **({"adopt": True} if adopt else {}),
            **dict.fromkeys(outputs),
        }
        super().__init__(provider.type_token(), name, props, opts)


class CommonArguments(Declaration):
    """The arguments that every declared resource has."""

    name: InitVar[str] = prop(kw_only=False)
    """the resource's name."""
    host: Prop[Host | str, str] = prop()
    """the host, or its alias."""
    adopt: InitVar[bool | None] = prop(default=None)
    """whether to take over an existing thing that differs."""
    opts: InitVar[pulumi.ResourceOptions | None] = prop(default=None)
    """resource options."""


class DeclaredResource(CommonArguments, HostResource):
    """A host resource whose constructor and outputs come from the `Declaration` in its `facts.py`.

    Type checkers take each annotation in a subclass for an argument of the constructor, so a subclass sets
    other attributes in `derived`, without an annotation.
    """

    provider_type: ClassVar[type[HostProvider]]
    outputs: ClassVar[tuple[str, ...]] = ("revision",)

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        cls.__signature__ = _signature(cls.properties)  # type: ignore[attr-defined] # for `inspect.signature`
        # Pulumi reads the types of outputs from here: without them, a whole number comes back as 1.0.
        outputs = {name: f"pulumi.Output[{one.held}]" for name, one in cls.properties.items()}
        cls.__annotations__ = outputs | cls.__annotations__

    def __init__(self, *args: Any, **named: Any) -> None:
        try:
            bound = inspect.signature(type(self)).bind(*args, **named)
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}: {error}") from None
        bound.apply_defaults()
        given = bound.arguments
        inputs = {
            key: (given[key] or None) if one.omit else given.get(key, one.default)
            for key, one in self.properties.items()
        }
        HostResource.__init__(
            self,
            self.provider_type,
            given["name"],
            host=given["host"],
            adopt=given["adopt"],
            inputs=inputs | self.derived(SimpleNamespace(**given)),
            outputs=self.outputs,
            opts=given["opts"],
        )

    def derived(self, given: Any) -> dict[str, Any]:
        """Return the inputs that other arguments determine, and set plain attributes.

        Args:
            given: the arguments, with their defaults. A subclass names its declaration as the type.
        """
        del given
        return {}


def _signature(properties: Mapping[str, Property]) -> inspect.Signature:
    """Return the signature of a constructor: `name`, `host`, the kind's own arguments, then the others."""
    name, host, *others = CommonArguments.properties.values()
    return inspect.Signature(
        [
            inspect.Parameter(
                one.name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD if one is name else inspect.Parameter.KEYWORD_ONLY,
                default=_default(one),
                annotation=one.given,
            )
            for one in (name, host, *properties.values(), *others)
            if one.init
        ],
        return_annotation="None",
    )


def _default(one: Property) -> Any:
    if one.default is MISSING:
        return inspect.Parameter.empty
    return None if one.default is DERIVED else one.default


def is_secret(value: pulumi.Input[str]) -> Awaitable[bool | None] | None:
    """Tell whether a value is marked secret.

    Plugins get plain values, so resources pass this result as an input. The result is None instead of False,
    because an input that `check` drops would show as a change in every refresh.
    """
    return is_any_secret([value])


def is_any_secret(values: Iterable[pulumi.Input[str]]) -> Awaitable[bool | None] | None:
    """Tell whether any of several values is marked secret; `is_secret` explains the result."""
    outputs = [value for value in values if isinstance(value, pulumi.Output)]
    return _true_or_none(outputs) if outputs else None


async def _true_or_none(outputs: list[pulumi.Output[str]]) -> bool | None:
    for output in outputs:
        if await output.is_secret():
            return True
    return None


def local_folder(path: str | os.PathLike[str]) -> str:
    """Return a folder's path relative to the project, so that the state is the same on every machine."""
    return os.path.relpath(path) if os.path.isabs(path) else os.path.normpath(path)  # noqa: PTH117
