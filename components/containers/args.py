"""What a container is declared with, and an app: a container of one's own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import ROUND_UP, Decimal
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic_core import PydanticCustomError

from portcullis.components.containers.facts import PORTS
from portcullis.components.containers.render import spell_cpus
from portcullis.components.firewall.args import Destination, Interface
from portcullis.components.kernel.render import FIRST_USER_PORT
from portcullis.config.faults import refusal
from portcullis.config.forms import (
    Argument,
    ArgumentInput,
    ContainerUser,
    EnvName,
    ImageInput,
    Port,
    SecretName,
    SecretValue,
)
from portcullis.config.secret import Secret
from portcullis.config.section import Section, Written
from portcullis.config.value_types import (
    Choice,
    Fraction,
    ListOf,
    Literally,
    MapOf,
    Number,
    Text,
    ValueType,
    whole,
)

SECRETS = "/run/secrets"
"""Where a container finds its secrets, one file each."""
_PATH = r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._@+-]+)+"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_USER = "65534:65534"
_SYSTEM = {"/etc", "/etc/ssh", "/home", "/lib", "/lib64", "/opt", "/run", "/srv", "/usr", "/var", "/var/run"}


_EMPTY_WORD = ("holds an empty word, which Docker's provider refuses", 'put it into a line: [sh, -c, "…"]')


def _registry(text: str) -> tuple[str, str] | None:
    how = "write its name as it stands before images: ghcr.io, registry.example.com:5000, docker.io"
    name, colon, port = text.partition(":")
    is_name = re.fullmatch(rf"{_LABEL}(?:\.{_LABEL})+|localhost", name)
    if not is_name or (colon and not re.fullmatch(r"[1-9][0-9]{0,4}", port)):
        return ("is not the name of a registry", how)
    return None


def _inside(text: str) -> tuple[str, str] | None:
    hint = "write a whole path such as /data, without . and .. and with no / at its end"
    if not re.fullmatch(_PATH, text):
        return ("is not a path inside a container", hint)
    if re.match(rf"{SECRETS}(?:/|$)", text):
        return ("is where a container finds its secrets", "mount it elsewhere")
    # What the runtime itself mounts there, and what would hide the image's programs.
    if re.match(r"/(?:proc|sys|dev|bin|sbin|lib|lib64|usr/bin|usr/lib|usr/sbin)(?:/|$)", text):
        return ("is the system's own", "mount it elsewhere")
    return None


def _bind_mount(text: str) -> tuple[str, str] | None:
    if not re.fullmatch(_PATH, text):
        return ("is not a path on the host", "write a whole path, without . and .. and with no / at its end")
    if re.search(r"/(?:docker|containerd|podman)[a-z.-]*\.sock$", text):
        return ("is a socket that gives root on the host", "no container gets it")
    # Whole trees of the system, whose secrets a container would see; what is ours stands below.
    if re.match(r"/(?:proc|sys|dev|boot|root|var/lib/docker)(?:/|$)", text) or text in _SYSTEM:
        return ("is the system's own", "mount the one folder or file that is needed")
    return None


def _cpus(number: Decimal) -> tuple[str, str] | None:
    try:
        spell_cpus(number)
    except ValueError as error:
        # The provider reads back every number with one decimal as itself.
        return (str(error), f"write {number.quantize(Decimal('0.1'), ROUND_UP):f}")
    return None


Cpus = Annotated[str, Fraction("a number of CPUs", Decimal("0.01"), Decimal(512), _cpus)]


class _Command(ValueType):
    """A command: a line for the image's shell, or a list of words."""

    _line = Text("a command", r"[^\x00-\x1f]+", "write one line, as for a shell")
    _word = Literally()

    def read(self, raw: Any) -> str | tuple[str, ...]:
        """Take either."""
        if isinstance(raw, str) or not isinstance(raw, Sequence):
            return self._line.read(raw)
        try:
            words = tuple(map(self._word.read, raw))
        except PydanticCustomError:
            words = ()
        if not words or not words[0]:
            raise refusal("is not a command", "write one line, or a list of words in quotes")
        if "" in words:
            raise refusal(*_EMPTY_WORD)
        return words

    def schema(self) -> dict[str, Any]:
        """Either."""
        words = {"type": "array", "items": {"type": "string"}, "minItems": 1}
        return {"anyOf": [self._line.schema(), words]}


HostPort = Annotated[int, Number("a port that root alone may listen on", 1, FIRST_USER_PORT - 1)]
VolumeName = Annotated[
    str,
    Text(
        "a name for a volume", r"[A-Za-z0-9][A-Za-z0-9_.-]{1,127}", "write letters, digits, dashes and dots"
    ),
]
Inside = Annotated[str, Text("a path inside a container", refused=_inside)]
Command = Annotated[str | Sequence[str], _Command()]
JobSeconds = Annotated[int, Number("a number of seconds", 1, 900)]
# Docker refuses less than 6 MB; the upper bound only catches a value that was meant in another unit.
Memory = Annotated[
    int,
    Number("an amount of memory in MB", 6, 4_194_304, "write the number of megabytes, such as 256"),
]
# A health check and Docker's init take some; the upper bound is the kernel's own for one machine.
Pids = Annotated[int, Number("a number of processes", 8, 4_194_304)]
# One hour: whoever waits for a deployment waits for this.
StopSeconds = Annotated[int, Number("a number of seconds", 1, 3600)]
Bind = Annotated[str, Text("a path on the host", refused=_bind_mount)]
Tmpfs = Annotated[int, Number("a size in MB", 1, 4_194_304)]
Refresh = Annotated[
    str,
    Text(
        "a name for a label", r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?", "write small letters, digits, dashes"
    ),
]
# RFC 3986 without escapes and quotes: it stands inside single quotes in the health command.
UrlPath = Annotated[
    str,
    Text("a path", r"/[A-Za-z0-9._~/?=&%+,-]{0,200}", "write a path that starts with /, such as /healthz"),
]
StoreUse = Annotated[
    str,
    Text("a store", r"redis|mongo\.[A-Za-z0-9_-]{1,63}", "write redis, or mongo. and the name of a database"),
]
RegistryName = Annotated[str, Text("the name of a registry", refused=_registry)]
Digests = Annotated[Literal["required", "resolved"], Choice("a rule for digests")]


class JobsArgs(Section):
    """Commands that run once for each release, with the app's image, networks, secrets, variables and limits.

    A command is a line for the image's shell, or a list of words. They run one after the other.
    """

    what: ClassVar[str] = "jobs"

    before: ListOf[Command] = ()
    """Commands to run once for each release, before it starts, such as migrations: `[node migrate.js]`. One
    that fails stops the release, and the old one goes on serving."""
    after: ListOf[Command] = ()
    """Commands to run once it is well, before anybody is sent to it."""
    within: JobSeconds = 600
    """Seconds that each of them may take."""


class ContainerArgs(Section):
    """What an app has in common with every other container."""

    what: ClassVar[str] = "a container"

    image: ImageInput
    """The image, by digest: `ghcr.io/acme/api@sha256:…`, or by tag: each preview asks the registry what the
    tag stands for, and shows it where that changed."""
    port: Port | None = None
    """The port that it listens on inside the container."""
    host_port: HostPort | None = None
    """A fixed port on docker0's address that leads to it, and a short gap at each release. Without it an app
    with a site gets a port of the host's choice, and is replaced without a gap."""
    health: UrlPath | None = None
    """The path that answers 2xx when it is well, asked inside the container. Without it an app with a port is
    well when it listens there."""
    health_command: ListOf[Argument] | None = None
    """Or a command that exits 0 when it is well."""
    env: MapOf[EnvName, ArgumentInput] = Field(default_factory=dict)
    """Environment variables; no secrets, `docker inspect` shows them."""
    volumes: MapOf[VolumeName, Inside] = Field(default_factory=dict)
    """Volumes by name and where they are mounted; they stay when app or stack go: `{uploads: /data}`."""
    jobs: JobsArgs = Field(default_factory=JobsArgs)
    """What runs once for each release."""
    command: ListOf[Argument] | None = None
    """What to run instead of the image's command."""
    user: ContainerUser = _USER
    """The user inside, by name or number; never root."""
    memory: Memory = 256
    """Memory limit in MB; swap is not added to it."""
    cpus: Cpus = "1"
    """How many CPUs it may use."""
    pids: Pids = 256
    """How many processes it may have."""
    stop_grace: StopSeconds = 10
    """Seconds it has to finish what it is doing when it is stopped."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Ask for one health check, and refuse what needs something else or is there twice."""
        at, command = written.at, written.at.spell("health_command")
        if "health" in written and "health_command" in written:
            at.field("health_command").report("is a second health check beside health", "keep one of the two")
        if not {"health", "health_command", "port"} & {name for name in cls.model_fields if name in written}:
            at.field("health").report(
                "is missing",
                f"write the path that answers 2xx when the app is well, or {command}: [program, argument, …]",
            )
        for name in ("health", "host_port"):
            if name in written and "port" not in written:
                at.field(name).report("needs the port that the app listens on", "add port")
        if isinstance(words := written.get("command"), Sequence) and "" in tuple(words):
            at.field("command").report(*_EMPTY_WORD)
        if whole(written.get("host_port")) in PORTS:
            at.field("host_port").refuse(
                written.get("host_port"),
                "may be given to another app's release",
                f"take one that is not in {PORTS[0]} to {PORTS[-1]}",
            )
        _check_mounts(written)


class AppArgs(ContainerArgs):
    """An app: one container, with the stores, secrets and volumes that it uses."""

    what: ClassVar[str] = "an app"

    uses: ListOf[StoreUse] = ()
    """The stores it uses, `[redis, mongo.shop]`: it joins their networks and finds how to log in under
    /run/secrets."""
    secrets: ListOf[SecretName] = ()
    """Names of `secrets` that it gets, each as a file of that name in /run/secrets."""
    egress: ListOf[Destination] | None = None
    """The only destinations outside that it may reach: `[203.0.113.7:443/tcp, "*:53/udp"]`. An empty list is
    none; without the key everything is reached."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse secrets of a user that the host cannot know."""
        super().check(written)
        user = str(written.get("user", _USER))
        # Root is refused already, whatever it is called.
        is_root = user.partition(":")[0] == "root"
        if ("uses" in written or "secrets" in written) and not is_number(user) and not is_root:
            written.at.field("user").refuse(written.get("user"), *NAMED_USER)


class PrivateContainerArgs(ContainerArgs):
    """A container that only its host can reach."""

    what: ClassVar[str] = "a private container"

    rollout: bool = False
    """Replace it without an interruption: the next one comes up beside it, on a port of the bind address that
    the host picks, and this one goes when nobody is sent to it any more."""
    healthy_within: JobSeconds = 90
    """Seconds that it may take until it is healthy."""
    binds: MapOf[Bind, Inside] = Field(default_factory=dict)
    """Files and folders of the host, and where each is mounted, read-only."""
    tmpfs: MapOf[Inside, Tmpfs] = Field(default_factory=dict)
    """Folders in memory, and their sizes in MB; they count against the limit. /tmp is always one, and half
    the host's memory where no size is given here."""
    protect_volumes: bool = False
    """Refuse every deployment that would let go of its volumes."""
    shared: bool = False
    """It has an internal network besides, which those join who use it. Internal, because a container in
    several networks goes out by the first of them in the alphabet that leads out: by its own then, whose
    interface rules of the forward filter name, and whose port is published."""
    bridge: Interface | None = None
    """Name of its network's interface, for rules of the forward filter that name it; Docker makes one up
    otherwise."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse a rollout that has no place for two."""
        super().check(written)
        if written.get("rollout") is not True:
            return
        at = written.at.field("rollout")
        if "host_port" in written:
            how = f"leave out {written.at.spell('host_port')}: two containers run side by side for a while"
            at.report("has no fixed port", how)
        if "port" not in written:
            at.report("needs the port that the app listens on", "add port")


NAMED_USER = (
    "is a name, which the host cannot know, and its secrets are files of that user",
    "write the number: `docker run --rm --entrypoint id IMAGE` prints it",
)
"""What is wrong with a user whose secrets cannot be its files, and what would be right."""


def is_number(user: str) -> bool:
    """Tell whether a container's user is written as a number, with its group or without."""
    return re.fullmatch(r"[0-9]+(?::[0-9]+)?", user) is not None


def _check_mounts(written: Written) -> None:
    taken: dict[str, str] = {}
    for field in ("volumes", "binds", "tmpfs"):
        for name, value, place in written.items(field):
            target = name if field == "tmpfs" else str(value)
            if target in taken:
                place.refuse(target, f"is mounted twice, by {taken[target]} too", "keep one of them")
            taken[target] = field


class ImagesArgs(Section):
    """How images may be named."""

    what: ClassVar[str] = "images"

    digests: Digests = "resolved"
    """`required` refuses an image that is named by tag; `resolved` asks the registry for its digest."""


class RegistryArgs(Section):
    """A login at an image registry."""

    what: ClassVar[str] = "a login at a registry"

    username: Argument
    """Who logs in."""
    password: SecretValue
    """The password or token, for reading only if the registry has such; encrypted."""

    @property
    def secret(self) -> Secret:
        """The password."""
        return Secret.of(self.password)
