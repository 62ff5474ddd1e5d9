'''Declares the properties of a kind once, in its `facts.py`. Both halves of the kind use this declaration.

    class DirectoryProps(Declaration, adopt="whether to take over a folder that differs."):
        path: Asked[str] = prop(form=PATH, identity=True)
        """absolute path."""
        mode: Prop[str] = prop(default="0755", form=MODE)
        """permission bits in octal, such as "0750"."""

    class DirectorySpec(DirectoryProps, DeclaredSpec): ...  # has the fields that are `Asked`
    class DirectoryDesired(DirectoryProps, DeclaredDesired): ...  # has the fields that are `Asked` or `Prop`
    class Directory(DirectoryProps, DeclaredResource): ...  # in resource.py: a constructor, and outputs

`Normaliser.declared` in portcullis/host/provider.py checks the inputs. `DeclaredResource` in
portcullis/host/resource.py makes the constructor. The schema shows the docstrings.

A type checker reads `Prop[Given, Held]` as a descriptor. The constructor takes `Given`. The state and the
host have `Held`, which is the same type if it is left out. At run time a declaration is a list of `Property`,
and its annotations are read as texts, so facts.py needs `from __future__ import annotations`.
'''

from __future__ import annotations

import ast
import os.path
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar

from portcullis.agent.wire import Desired, Spec

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Generic, Literal, overload

    from pulumi import CustomResource, Output
    from typing_extensions import TypeVar, dataclass_transform

    G = TypeVar("G")
    D = TypeVar("D")
    S = TypeVar("S")
    H = TypeVar("H", default=G)
    T = TypeVar("T")

    class NotSent:
        """The type of a property that a spec or the declared state does not have."""

    class _Role(Generic[G, D, S, H]):
        """A property, as type checkers see it on each class that has it."""

        @overload
        def __get__(self, instance: None, owner: Any) -> Any: ...
        @overload
        def __get__(self, instance: CustomResource, owner: Any) -> Output[H]: ...
        @overload
        def __get__(self, instance: Desired, owner: Any) -> D: ...
        @overload
        def __get__(self, instance: Spec, owner: Any) -> S: ...
        @overload
        def __get__(self, instance: Declaration, owner: Any) -> G: ...
        def __get__(self, instance: Any, owner: Any) -> Any: ...
        def __set__(self, instance: Any, value: G) -> None: ...

    class Prop(_Role[G, H, NotSent, H]):
        """A property that the host brings to its declared value."""

    class Asked(_Role[G, H, H, H]):
        """A property that the host brings to its declared value, and also needs to read the thing."""

    class ReadBack(_Role[NotSent, NotSent, NotSent, T]):
        """A property that no program declares. The host only reports it."""

else:
    # A host has neither Pulumi nor typing_extensions. Annotations are texts, so these names need no value.
    Prop = Asked = ReadBack = None

    def dataclass_transform(**_: Any) -> Any:
        return lambda cls: cls


Form = Callable[[str], str]
"""Returns a text in its normal form. Raises `ValueError` with the fault."""
DERIVED: Any = object()
"""The default of a property that `derived` of the resource sets if the program gives no value."""
_ROLES = ("Prop", "Asked", "ReadBack", "InitVar")


@dataclass(frozen=True)
class Property:
    """The declaration of one property. `prop` and `own` explain the fields.

    Attributes:
        name: the name in the declaration.
        role: the name of its type: Prop, Asked or ReadBack. `CommonArguments` also has InitVar, for arguments
            that are no inputs.
        given: the type that the constructor takes, as text.
        held: the type in the state and on the host, as text.
    """

    default: Any
    form: Form | None = None
    identity: bool = False
    secret: bool = False
    omit: bool = False
    init: bool = True
    name: str = ""
    role: str = ""
    given: str = ""
    held: str = ""

    def field(self) -> Any:
        """Return the field of a data class. It has no default if the value is always sent."""
        is_sent = self.identity or self.default is DERIVED
        return field(default=MISSING if is_sent else self.default, repr=not self.secret)


def prop(
    *,
    default: Any = MISSING,
    form: Form | None = None,
    identity: bool = False,
    secret: bool = False,
    omit: bool = False,
    kw_only: bool = True,
) -> Any:
    """Declare a property that a program gives.

    Args:
        default: the value if the program gives none. It must be immutable.
        form: checks a text, which must not be empty, and returns its normal form. Without a form, only the
            type is checked. A type such as `Literal["remove", "keep"]` is a form too.
        identity: another value is another thing, and replaces the resource.
        secret: always a secret. No message quotes it.
        omit: leave out an empty or false value, so that states of older versions show no difference. The
            default must be such a value too.
        kw_only: for type checkers: whether the argument needs its name.

    Raises:
        TypeError: `omit` is set, but the default is not empty or false. It would replace a given false.
    """
    del kw_only
    if omit and default:
        raise TypeError("a property with `omit` needs an empty or false default")
    return Property(default, form, identity, secret, omit)


def own(*, want: Any, form: Form | None = None, init: Literal[False] = False) -> Any:
    """Declare a property that is no argument of the constructor.

    Args:
        want: the value that the resource should have. For a `ReadBack`, a check always sets this value, and a
            refresh sets the value on the host. For other properties, only the constructor sets it.
        form: as in `prop`.
        init: for type checkers: the constructor does not have the argument.
    """
    return Property(want, form, init=init)


@dataclass_transform(kw_only_default=True, field_specifiers=(prop, own))
class Declaration:
    """The base of declarations.

    Attributes:
        properties: the declared properties, by name.
        adopts: the description of the constructor's argument `adopt`.
    """

    properties: ClassVar[Mapping[str, Property]] = {}
    adopts: ClassVar[str] = ""

    def __init_subclass__(cls, *, adopt: str = "", **more: Any) -> None:
        super().__init_subclass__(**more)
        cls.adopts = adopt or cls.adopts
        annotations = cls.__annotations__
        found = {
            name: _property(f"{cls.__name__}.{name}", annotation, cls.__dict__[name])
            for name, annotation in annotations.items()
            if isinstance(cls.__dict__.get(name), Property)
        }
        if found:
            cls.properties = found
        for name in found:
            delattr(cls, name)  # a data class would take it for a default
            del annotations[name]


def _property(where: str, annotation: str, declared: Property) -> Property:
    """Return the declared property with its name and types."""
    node = ast.parse(annotation, mode="eval").body
    if not (isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in _ROLES):
        raise TypeError(f"{where}: {annotation} is none of {', '.join(_ROLES)}")
    types = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    words = types[0]
    if isinstance(words, ast.Subscript) and ast.unparse(words.value) == "Literal":
        choices = words.slice.elts if isinstance(words.slice, ast.Tuple) else [words.slice]
        declared = replace(declared, form=one_of(*map(ast.literal_eval, choices)))
    return replace(
        declared, name=where.rpartition(".")[2], role=node.value.id, given=ast.unparse(types[0]),
        held=ast.unparse(types[-1]),
    )  # fmt: skip


class DeclaredSpec(Spec):
    """A spec with the properties that are `Asked`. A kind may add fields."""

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        _make_data_class(cls, ("Asked",))


class DeclaredDesired(Desired):
    """The declared state of a resource, with the properties that are `Asked` or `Prop`.

    Attributes:
        spec_type: the class of the spec.
        properties: the properties of the `Declaration`, by name.
    """

    spec_type: ClassVar[type[DeclaredSpec]]
    properties: ClassVar[Mapping[str, Property]]

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        _make_data_class(cls, ("Asked", "Prop"))

    @property
    def id(self) -> str:
        """The value of the property that is the identity."""
        (name,) = (name for name, one in self.properties.items() if one.identity)
        return str(getattr(self, name))

    def spec(self) -> Any:
        """Return the fields that the spec has too."""
        names = (one.name for one in fields(self.spec_type))
        return self.spec_type(**{name: getattr(self, name) for name in names})


def _make_data_class(cls: Any, roles: Iterable[str]) -> None:
    """Make a class a frozen data class of the declared properties with these roles."""
    declared = {name: one.field() for name, one in cls.properties.items() if one.role in roles}
    # Fields without a default come first, as in every data class.
    names = sorted(declared, key=lambda name: declared[name].default is not MISSING)
    for name in names:
        setattr(cls, name, declared[name])
    cls.__annotations__ = {name: cls.properties[name].held for name in names} | cls.__annotations__
    dataclass(frozen=True)(cls)


def one_of(*words: str) -> Form:
    """Return the form of a text that is one of several words."""

    def form(value: str) -> str:
        if value not in words:
            raise ValueError(f"{value!r} is not one of {', '.join(words)}")
        return value

    return form


def _path(value: str) -> str:
    if not value.startswith("/") or os.path.normpath(value) != value or "\0" in value:
        raise ValueError(f"{value!r} is not an absolute path in its shortest form, such as /etc/motd")
    return value


def _mode(value: str) -> str:
    digits = value.rjust(4, "0")
    if len(digits) != 4 or not set(digits) <= set("01234567"):  # noqa: PLR2004
        raise ValueError(f'{value!r} is not a mode in octal digits, such as "0644"')
    return digits


TEXT: Form = str
"""Any text that is not empty."""
PATH: Form = _path
"""An absolute path in its shortest form."""
MODE: Form = _mode
"""Permission bits, as four octal digits."""
