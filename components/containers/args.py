"""Settings of containers: apps, private containers, their jobs, and logins at registries."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import ROUND_UP, Decimal
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic_core import PydanticCustomError

from portcullis.components.containers.facts import PORTS
from portcullis.components.containers.render import spell_cpus
from portcullis.components.firewall.args import Destination, Interface
from portcullis.components.kernel.render import FIRST_USER_PORT
from portcullis.config.faults import refusal
from portcullis.config.forms import (
    AppName,
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
from portcullis.resources.file.facts import MAX_CONTENT

SECRETS = "/run/secrets"
"""The folder in a container that holds its secrets, one file each."""
_PATH = r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._@+-]+)+"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_USER = "65534:65534"
_SYSTEM = {"/etc", "/etc/ssh", "/home", "/lib", "/lib64", "/opt", "/run", "/srv", "/usr", "/var", "/var/run"}


_EMPTY_WORD = (
    "holds an empty word, which Docker's provider refuses",
    'write a line for a shell: [sh, -c, "…"]',
)


def _registry(text: str) -> tuple[str, str] | None:
    how = "write the registry's name as in images: ghcr.io, registry.example.com:5000, docker.io"
    name, colon, port = text.partition(":")
    is_name = re.fullmatch(rf"{_LABEL}(?:\.{_LABEL})+|localhost", name)
    if not is_name or (colon and not re.fullmatch(r"[1-9][0-9]{0,4}", port)):
        return ("is not the name of a registry", how)
    return None


def _inside(text: str) -> tuple[str, str] | None:
    hint = "write an absolute path such as /data, without . or .. and without a / at the end"
    if not re.fullmatch(_PATH, text):
        return ("is not a path inside a container", hint)
    if re.match(rf"{SECRETS}(?:/|$)", text):
        return ("is reserved for the container's secrets", "mount it elsewhere")
    if re.match(r"/var/run(?:/secrets(?:/|$)|$)", text):
        # In many images /var/run is a link to /run. Docker may then put this mount on top of the secrets.
        return ("may hide the container's secrets", "write it below /run")
    # Docker itself mounts some of these folders. The other folders contain the image's programs.
    if re.match(r"/(?:proc|sys|dev|bin|sbin|lib|lib64|usr/bin|usr/lib|usr/sbin)(?:/|$)", text):
        return ("belongs to the system", "mount it elsewhere")
    return None


def _bind_mount(text: str) -> tuple[str, str] | None:
    if not re.fullmatch(_PATH, text):
        return (
            "is not a path on the host",
            "write an absolute path, without . or .. and without a / at the end",
        )
    if re.search(r"/(?:docker|containerd|podman)[a-z.-]*\.sock$", text):
        return ("is a socket that gives root on the host", "leave the socket out: no container may have it")
    # A container would see secrets of the system in these folders. Folders inside `_SYSTEM` are allowed.
    if re.match(r"/(?:proc|sys|dev|boot|root|var/lib/docker)(?:/|$)", text) or text in _SYSTEM:
        return ("belongs to the system", "mount only the folder or file that the container needs")
    return None


def project_file(path: str) -> str:
    """Return the text of a file of the project. The path is relative to the project's folder.

    Raises:
        OSError: the file cannot be read.
        UnicodeDecodeError: the file is not text in UTF-8.
    """
    return Path(path).read_bytes().decode()


def _project_file(text: str) -> tuple[str, str] | None:
    how = "write the path of a file, relative to the folder of __main__.py"
    if not re.fullmatch(r"(?=.{1,200}$)(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._@-]+)+", f"/{text}"):
        return ("is not a path in the project", "write letters, digits and . _ @ - /, as in conf/app.ini")
    file = Path(text).resolve()
    if not file.is_relative_to(Path.cwd().resolve()) or not file.is_file():
        return ("is not a file of the project", how)
    try:
        # The size comes first, because a text is read whole.
        if file.stat().st_size > MAX_CONTENT or "\0" in project_file(text):
            return (f"has more than {MAX_CONTENT} bytes, or a zero byte", "put the file into the image")
    except UnicodeDecodeError:
        return ("is not text in UTF-8", "put the file into the image")
    except OSError as error:
        return (f"cannot be read: {error.strerror}", how)
    return None


def _cpus(number: Decimal) -> tuple[str, str] | None:
    try:
        spell_cpus(number)
    except ValueError as error:
        # Docker's provider reads back every number with one decimal unchanged.
        return (str(error), f"write {number.quantize(Decimal('0.1'), ROUND_UP):f}")
    return None


Cpus = Annotated[str, Fraction("a number of CPUs", Decimal("0.01"), Decimal(512), _cpus)]


class _Command(ValueType):
    """The type of a command in the settings: a line for the image's shell, or a list of words."""

    _line = Text("a command", r"[^\x00-\x1f]+", "write one line, as for a shell")
    _word = Literally()

    def read(self, raw: Any) -> str | tuple[str, ...]:
        """Return a line unchanged, and a list as a tuple of words."""
        if isinstance(raw, str) or not isinstance(raw, Sequence):
            return self._line.read(raw)
        try:
            words = tuple(map(self._word.read, raw))
        except PydanticCustomError:
            words = ()
        if not words or not words[0]:
            raise refusal("the value is not a command", "write one line, or a list of words in quotes")
        if "" in words:
            raise refusal(*_EMPTY_WORD)
        return words

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of a command: a line, or a list of words."""
        words = {"type": "array", "items": {"type": "string"}, "minItems": 1}
        return {"anyOf": [self._line.schema(), words]}


HostPort = Annotated[int, Number("a port that only root may listen on", 1, FIRST_USER_PORT - 1)]
VolumeName = Annotated[
    str,
    Text(
        "a name for a volume", r"[A-Za-z0-9][A-Za-z0-9_.-]{1,127}", "write letters, digits, dashes and dots"
    ),
]
Inside = Annotated[str, Text("a path inside a container", refused=_inside)]
Command = Annotated[str | Sequence[str], _Command()]
JobSeconds = Annotated[int, Number("a number of seconds", 1, 900)]
# Docker refuses less than 6 MB. The upper bound catches a value in another unit.
Memory = Annotated[
    int,
    Number("an amount of memory in MB", 6, 4_194_304, "write the number of megabytes, such as 256"),
]
# A health check and Docker's init need a few processes. The upper bound is the kernel's limit for one
# machine.
Pids = Annotated[int, Number("a number of processes", 8, 4_194_304)]
# The upper bound is the kernel's own default, fs.nr_open.
OpenFiles = Annotated[int, Number("a number of open files", 64, 1_048_576)]
# A deployment waits this long for the container, so the limit is one hour.
StopSeconds = Annotated[int, Number("a number of seconds", 1, 3600)]
Bind = Annotated[str, Text("a path on the host", refused=_bind_mount)]
ProjectFile = Annotated[str, Text("a file of the project", refused=_project_file)]
Tmpfs = Annotated[int, Number("a size in MB", 1, 4_194_304)]
SecretReference = Annotated[
    str,
    Text(
        "the name of a secret or of a store's login",
        r"[A-Za-z][A-Za-z0-9._-]{0,126}",
        "write redis, mongo.shop.password, or the name of an entry in secrets",
    ),
]
Refresh = Annotated[
    str,
    Text(
        "a name for a label", r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?", "write small letters, digits, dashes"
    ),
]
# Characters of a URL's path (RFC 3986) that are safe between the single quotes of the health command.
UrlPath = Annotated[
    str,
    Text("a path", r"/[A-Za-z0-9._~/?=&%+,-]{0,200}", "write a path that starts with /, such as /healthz"),
]
Use = Annotated[
    str,
    Text(
        "an app or a store",
        r"[a-z][a-z0-9-]{0,30}(?:\.[A-Za-z0-9_-]{1,63})?",
        "write the name of an app, or redis, or mongo. or postgres. and the name of a database",
    ),
]
RegistryName = Annotated[str, Text("the name of a registry", refused=_registry)]
Digests = Annotated[Literal["required", "resolved"], Choice("a rule for digests")]


class JobsArgs(Section):
    """Commands that run once for each release, with the app's image, networks, secrets, variables and limits.

    A command is a line for the image's shell, or a list of words. The commands of a release run one after the
    other.
    """

    what: ClassVar[str] = "jobs"

    before: ListOf[Command] = ()
    """Commands to run once for each release before it starts, such as migrations: `[node migrate.js]`. If one
    fails, the release stops and the old one keeps serving."""
    after: ListOf[Command] = ()
    """Commands to run once the release is healthy, before it gets requests."""
    within: JobSeconds = 600
    """Seconds that each command may take."""


class ContainerArgs(Section):
    """Settings that containers of apps and all other private containers have in common."""

    what: ClassVar[str] = "a container"

    image: ImageInput
    """The image by digest, such as `ghcr.io/acme/api@sha256:…`, or by tag. For a tag, each preview asks the
    registry for the digest and shows when it has changed."""
    port: Port | None = None
    """The port that the app listens on inside the container."""
    host_port: HostPort | None = None
    """A fixed port on docker0's address that leads to `port`. Each release then has a short gap. Without it,
    the host picks a port for an app with a site, and releases have no gap."""
    health: UrlPath | None = None
    """The path that answers 2xx when the app is healthy. Docker requests it inside the container. Without it,
    an app is healthy when it listens on its port."""
    health_command: ListOf[Argument] | None = None
    """A command that exits 0 when the app is healthy, instead of `health`."""
    env: MapOf[EnvName, ArgumentInput] = Field(default_factory=dict)
    """Environment variables. Put no secrets here: `docker inspect` shows them."""
    volumes: MapOf[VolumeName, Inside] = Field(default_factory=dict)
    """Volumes by name, and where each is mounted: `{uploads: /data}`. They stay when the app or the stack is
    removed."""
    tmpfs: MapOf[Inside, Tmpfs] = Field(default_factory=dict)
    """Folders in memory, and their sizes in MB: `{/run/apache2: 1}`. They are empty at each start and count
    against the memory limit. /tmp is always one of them. Without a size here, it may hold half of the host's
    memory."""
    project_files: MapOf[ProjectFile, Inside] = Field(default_factory=dict)
    """Text files of the project, and where each is mounted read-only: `{conf/app.ini: /etc/app.ini}`. If a
    file changes, `up` replaces the container. Put no secrets into them."""
    read_only: bool = True
    """Whether the root file system is read-only. If false, an intruder can change the image's programs, and
    everything written outside of volumes is lost with the container. Prefer `tmpfs` and `volumes`."""
    jobs: JobsArgs = Field(default_factory=JobsArgs)
    """Commands that run once for each release."""
    command: ListOf[Argument] | None = None
    """The command to run instead of the image's own."""
    user: ContainerUser = _USER
    """The user inside the container, by name or number. Never root."""
    memory: Memory = 256
    """Memory limit in MB. The container gets no swap."""
    cpus: Cpus = "1"
    """Number of CPUs that the container may use."""
    pids: Pids = 256
    """Number of processes that the container may have."""
    nofile: OpenFiles | None = None
    """Number of files that a process of the container may have open. The default is 65536. If the host allows
    a process fewer, a new container gets that many. An app that runs keeps its limit until its next release.
    If you write, change or remove a number, `up` makes a new release."""
    stop_grace: StopSeconds = 10
    """Seconds that the container gets to finish its work when it is stopped."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse settings with no health check, with two health checks, or with two mounts at one path."""
        at, command = written.at, written.at.spell("health_command")
        if "health" in written and "health_command" in written:
            at.field("health_command").report(
                "is a second health check beside health", "keep only one of the two health checks"
            )
        if not {"health", "health_command", "port"} & {name for name in cls.model_fields if name in written}:
            at.field("health").report(
                "is missing",
                f"write the path that answers 2xx if it is healthy, or {command}: [program, argument, …]",
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
                f"take a port outside of {PORTS[0]} to {PORTS[-1]}",
            )
        _check_mounts(written)


class AppArgs(ContainerArgs):
    """An app: one container, with the stores, secrets and volumes that it uses."""

    what: ClassVar[str] = "an app"

    uses: ListOf[Use] = ()
    """The stores and other apps that the app uses: `[redis, mongo.shop, api]`. It reaches each by its name,
    such as http://api:8080, over a network that only the two share. It finds its logins of stores as files in
    /run/secrets."""
    secrets: ListOf[SecretName] = ()
    """Names of entries in `secrets`. The app gets each as a file of that name in /run/secrets."""
    # No message shows a wrong value: somebody may have written the secret itself.
    secret_env: MapOf[EnvName, SecretReference] = Field(default_factory=dict, repr=False)
    """Environment variables with secrets, for an image that reads no files:
    `{DATABASE_URL: mongo.shop, REDIS_PASSWORD: redis.password, API_KEY: apiKey}`. `redis` or `mongo.shop` is
    the URL of the login. Add `.user` or `.password` for one part. Other names are entries of `secrets`. Child
    processes, crash reports and `docker inspect` show the values, so prefer the files in /run/secrets."""
    egress: ListOf[Destination] | None = None
    """The only destinations outside the host that the app may reach:
    `[203.0.113.7:443/tcp, "*:53/udp"]`. An empty list allows none. Without this key the app may reach
    everything."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse a user name if the app gets secret files, and a variable that is declared twice.

        The owner of secret files must be a number.
        """
        super().check(written)
        variables = {name for name, _, _ in written.items("env")}
        for name, _, place in written.items("secret_env"):
            if name in variables:
                place.report("is in env too", "keep one of the two")
        user = str(written.get("user", _USER))
        # Another check already refuses root.
        is_root = user.partition(":")[0] == "root"
        stores = [use for use, _ in written.elements("uses") if "." in str(use) or use == "redis"]
        if (stores or "secrets" in written) and not is_number(user) and not is_root:
            written.at.field("user").refuse(written.get("user"), *NAMED_USER)


class PrivateContainerArgs(ContainerArgs):
    """A container that only its host can reach."""

    what: ClassVar[str] = "a private container"

    rollout: bool = False
    """Replace the container without an interruption. The next one starts beside it, on a port of the bind
    address that the host picks. The old one stops when nginx no longer sends requests to it."""
    published: bool = True
    """Whether a rollout publishes the port. Without a published port, only containers that use this one reach
    it."""
    healthy_within: JobSeconds = 90
    """Seconds that the container may take to become healthy."""
    binds: MapOf[Bind, Inside] = Field(default_factory=dict)
    """Files and folders of the host, and where each is mounted. All are read-only."""
    protect_volumes: bool = False
    """Refuse every deployment that would remove its volumes from the stack."""
    shared: bool = False
    """Create a second, internal network for the containers that use this one. A container in several networks
    sends outside traffic through the first one, by alphabet, that is not internal. So a container that uses
    this one keeps sending through its own network, where the rules of the forward filter apply."""
    hostname: AppName | None = None
    """The name that it has for itself. By default Docker takes the container's id, which changes with each
    container."""
    bridge: Interface | None = None
    """Name of the interface of its network, for rules of the forward filter. Docker picks a name
    otherwise."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse a rollout with a fixed port, or of an app without a port."""
        super().check(written)
        if written.get("rollout") is not True:
            return
        at = written.at.field("rollout")
        if "host_port" in written:
            how = f"leave out {written.at.spell('host_port')}: two containers run side by side for a while"
            at.report("does not work with a fixed port", how)
        if "port" not in written:
            at.report("needs the port that the app listens on", "add port")


NAMED_USER = (
    "is a name, but the files with its secrets need an owner by number",
    "write the number: `docker run --rm --entrypoint id IMAGE` prints it",
)
"""The fault and the hint for a user by name, if files with secrets must belong to that user."""


def is_number(user: str) -> bool:
    """Return whether a container's user is a number, with or without a group."""
    return re.fullmatch(r"[0-9]+(?::[0-9]+)?", user) is not None


def _check_mounts(written: Written) -> None:
    taken: dict[str, str] = {}
    for field in ("volumes", "binds", "tmpfs", "project_files"):
        for name, value, place in written.items(field):
            target = name if field == "tmpfs" else str(value)
            if target in taken:
                place.refuse(
                    target,
                    f"is mounted twice, by {written.at.spell(taken[target])} too",
                    "keep one of the two mounts",
                )
            taken[target] = field


class ImagesArgs(Section):
    """Rules for the names of images."""

    what: ClassVar[str] = "images"

    digests: Digests = "resolved"
    """`required` refuses images that are named by tag. `resolved` asks the registry for the tag's digest."""


class RegistryArgs(Section):
    """A login at an image registry."""

    what: ClassVar[str] = "a login at a registry"

    username: Argument
    """The user that logs in."""
    password: SecretValue
    """The password or token, encrypted. Take a token that can only read, if the registry has such tokens."""

    @property
    def secret(self) -> Secret:
        """The password as a `Secret`."""
        return Secret.of(self.password)
