"""The forms that texts in the settings must have.

Everything that ends up in a configuration file or a command line has a form here that leaves no room for the
syntax of that file: no quotes, spaces, semicolons, braces, dollars or line ends. Renderers rely on it.
"""

from __future__ import annotations

import ipaddress
import re
from decimal import ROUND_UP, Decimal

from portcullis.components.containers.render import spell_cpus
from portcullis.components.exposure import exposure_keys
from portcullis.components.firewall.render import forward_filter
from portcullis.components.firewall.render.forward_filter import ForwardPolicy
from portcullis.components.redis import render as redis
from portcullis.components.tunnels.render import tunnel
from portcullis.dialect import DIALECTS
from portcullis.settings import public_keys
from portcullis.settings.kinds import Choice, Fraction, Literal, Number, NumberOrText, Text

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DNS_NAME = rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})+"
# A file name has 255 bytes at most, and a site's log and the temporary name of its file add to it.
_LONGEST_SITE = 200
# The grammar of references: https://pkg.go.dev/github.com/distribution/reference
_TAG = r":[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_IMAGE_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_IMAGE_NAME = (
    rf"(?:{_LABEL}(?:\.{_LABEL})*(?::[1-9][0-9]{{0,4}})?/)?{_IMAGE_PART}(?:/{_IMAGE_PART})*(?:{_TAG})?"
)
PRIVATE = [ipaddress.IPv4Network(block) for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]
"""Private networks, RFC 1918, 3; Python's is_private means more than these."""
_LAST_PORT = 65535
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LONGEST = 260
_PATH = r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._@+-]+)+"
_SYSTEM = {"/etc", "/etc/ssh", "/home", "/lib", "/lib64", "/opt", "/run", "/srv", "/usr", "/var", "/var/run"}
_DIGEST_HOW = (
    "pin what you tested: `docker buildx imagetools inspect NAME:TAG` prints the digest, "
    "then write NAME@sha256:…"
)


def _address(text: str) -> tuple[str, str] | None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        if re.fullmatch(rf"{_LABEL}(?:\.{_LABEL})*", text.lower()) and not re.fullmatch(r"[0-9.]+", text):
            return None
    else:
        # A link-local address with its interface means something on one machine only.
        if "%" not in text:
            return None
    return ("is neither an IP address nor a host name", "write it without port, user or brackets")


def _address_v6(text: str) -> tuple[str, str] | None:
    try:
        spelling = str(ipaddress.IPv6Address(text))
    except ValueError:
        return ("is not an IPv6 address", "write it as in 2001:db8::10, without prefix or brackets")
    if "%" in text:
        return ("is the address of an interface", "write the one that others reach")
    return None if text == spelling else ("is not spelt as the host shows it", f"write {spelling}")


def _spelling(name: str) -> str:
    """Return the one spelling of a host name: small ASCII letters, no dot at the end."""
    plain = name.lower().rstrip(".")
    try:
        return ".".join(map(_ascii, plain.split(".")))
    except UnicodeError:
        return plain


def _ascii(label: str) -> str:
    """Return a label in ASCII. Python's own codec is IDNA 2003, to which straße.de is strasse.de."""
    if label.isascii():
        return label
    # RFC 5894, 7.2: names of their own since IDNA 2008, and browsers ask for those.
    if set(label) & set("ßς\u200c\u200d"):
        return f"xn--{label.encode('punycode').decode()}"
    return label.encode("idna").decode()


def _server_name(text: str) -> tuple[str, str] | None:
    if re.fullmatch(r"[0-9.]+", text) or ":" in text:
        page = re.fullmatch(r"https?://([^/:?#@\[]+)(?:[/:?#][^@]*)?", text)
        name = _spelling(page[1]) if page else ""
        is_host = re.fullmatch(_DNS_NAME, name) and not re.fullmatch(r"[0-9.]+", name)
        way = f"write {name}" if is_host else "a site needs a host name, so that several fit on one host"
        return ("is an address", way)
    if "*" in text:
        return ("is a wildcard", "name each site")
    spelling = _spelling(text)
    if not re.fullmatch(_DNS_NAME, spelling):
        return ("is not a host name", "write it as in DNS: www.example.com")
    if text != spelling:
        return ("is not spelt as DNS and nginx compare it", f"write {spelling}")
    if len(text) > _LONGEST_SITE:
        return (f"is longer than {_LONGEST_SITE} characters", "its log files could not be named after it")
    return None


def _image(text: str) -> tuple[str, str] | None:
    name, _, digest = text.partition("@")
    if re.fullmatch(_IMAGE_NAME, name) and not digest:
        return ("is not pinned: the registry may serve other content tomorrow", _DIGEST_HOW)
    if not re.fullmatch(_IMAGE_NAME, name) or not re.fullmatch("sha256:[0-9a-f]{64}", digest):
        return ("is not an image with a digest", "write NAME@sha256: and 64 hexadecimal digits")
    return None


def _image_by_tag(text: str) -> tuple[str, str] | None:
    if "@" in text:
        return _image(text)
    how = "write NAME:TAG, such as redis:8, or NAME@sha256:…"
    if not re.fullmatch(_IMAGE_NAME, text):
        return ("is not an image", how)
    if not re.fullmatch(_TAG, text[text.rfind(":") :]) or "/" in text[text.rfind(":") :]:
        return ("names no tag: what it stands for changes with every release", how)
    return None


def _registry(text: str) -> tuple[str, str] | None:
    how = "write its name as it stands before images: ghcr.io, registry.example.com:5000, docker.io"
    name, colon, port = text.partition(":")
    is_name = re.fullmatch(rf"{_LABEL}(?:\.{_LABEL})+|localhost", name)
    if not is_name or (colon and not re.fullmatch(r"[1-9][0-9]{0,4}", port)):
        return ("is not the name of a registry", how)
    return None


def _container_user(text: str) -> tuple[str, str] | None:
    if not re.fullmatch(r"[a-z0-9_][a-z0-9_-]{0,31}(?::[a-z0-9_][a-z0-9_-]{0,31})?", text):
        return ("is not a user", "write a name or a number, with :group where needed")
    if text.partition(":")[0] in {"0", "root"}:
        return ("is root", "a container runs as a user of its own: write a name the image has, or a number")
    return None


def _bridge(text: str) -> tuple[str, str] | None:
    hint = "write the bridge's own address with its prefix, such as 172.17.0.1/16"
    try:
        interface = ipaddress.IPv4Interface(text)
    except ValueError:
        return ("is not an IPv4 address with a prefix", hint)
    # Docker gives containers the other addresses of that network: a /30 leaves one.
    if "/" not in text or not 8 <= interface.network.prefixlen <= 30:  # noqa: PLR2004 - prefixes
        return ("has no usable prefix", hint)
    if not any(interface.network.subnet_of(block) for block in PRIVATE):
        return ("is not a private network", "take one of 10.0.0.0/8, 172.16.0.0/12 and 192.168.0.0/16")
    if interface.ip in {interface.network.network_address, interface.network.broadcast_address}:
        return ("is the network and not an address in it", hint)
    return None


def _network(text: str) -> tuple[str, str] | None:
    hint = "write 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32"
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return ("is not an address or network", hint)
    one = network.prefixlen == network.max_prefixlen
    spelling = str(network.network_address if one else network)
    if text != spelling:
        return ("is not spelt as the host shows it", f"write {spelling}")
    return None


def _outside(text: str) -> tuple[str, str] | None:
    if forward_filter.DOCKERS.fullmatch(text):
        return ("is a bridge of Docker's, with containers behind it", "name bridges that lead to the world")
    return None


def _rule(text: str) -> tuple[str, str] | None:
    hint = 'write a port and its protocol, such as "8443/tcp" or "60000:61000/udp"'
    found = re.fullmatch(r"([1-9][0-9]{0,4})(?::([1-9][0-9]{0,4}))?/(tcp|udp)", text)
    if not found:
        return ("is not a port with its protocol", hint)
    first, last = int(found[1]), int(found[2] or found[1])
    if max(first, last) > _LAST_PORT:
        return (f"goes beyond {_LAST_PORT}, the last port", hint)
    if found[2] and first >= last:
        return ("is a range that ends before it begins", hint)
    return None


def _pool(text: str) -> tuple[str, str] | None:
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError:
        return ("is not an IPv4 network", "write 10.200.0.0/16")
    if not any(network.subnet_of(block) for block in PRIVATE):
        return ("is not a private network", "take one of 10.0.0.0/8, 172.16.0.0/12 and 192.168.0.0/16")
    return None


def _duration(text: str) -> tuple[str, str] | None:
    found = re.fullmatch(r"([0-9]{1,9})([smhdw]?)", text)
    seconds = int(found[1]) * _SECONDS[found[2] or "s"] if found else 0
    if seconds > _LONGEST * _SECONDS["w"]:
        return (f"is longer than {_LONGEST} weeks, five years", "write less, such as 52w")
    return None


def _inside(text: str) -> tuple[str, str] | None:
    hint = "write a whole path such as /data, without . and .. and with no / at its end"
    if not re.fullmatch(_PATH, text):
        return ("is not a path inside a container", hint)
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


def is_program(text: str) -> bool:
    """Tell whether a text is the whole path of a program, as systemd wants it: of a file, and plain."""
    return re.fullmatch(r"(?:/(?!\.{1,2}(?:/|$))[^/\s]+)+", text) is not None


def _cpus(number: Decimal) -> tuple[str, str] | None:
    try:
        spell_cpus(number)
    except ValueError as error:
        # The provider reads back every number with one decimal as itself.
        return (str(error), f"write {number.quantize(Decimal('0.1'), ROUND_UP):f}")
    return None


def _destination(text: str) -> tuple[str, str] | None:
    try:
        ForwardPolicy(egress={"br": [text]})
    except ValueError as error:
        reason, _, hint = str(error).partition(f"{text!r} ")[2].partition("; ")
        return (
            reason,
            hint or "write 203.0.113.7, 203.0.113.0/24:443/tcp, [2001:db8::1]:443/tcp or *:443/tcp",
        )
    return None


ALIAS = Text(
    "a name for a host",
    # The two endings are aliases that we add: for the first login and for the jump host.
    r"(?!.*-(?:bootstrap|jump)$)[a-z][a-z0-9-]{0,30}",
    "start with a letter, then letters, digits and dashes, all small, not ending in -bootstrap or -jump; "
    "it becomes the alias in ssh_config",
)
APP_NAME = Text(
    "a name for an app",
    # Docker's own networks: the network of an app is named after it.
    r"(?!(?:host|bridge|none|default)$)[a-z][a-z0-9-]{0,30}",
    "start with a letter, then letters, digits and dashes, all small, and not host, bridge, none or default, "
    "which are networks of Docker's own; it becomes the name of container and network",
)
ADDRESS = Text("the address of a host", refusal=_address)
ADDRESS_V6 = Text("an IPv6 address", refusal=_address_v6)
HOST_KEY = Text("the public key of a host", refusal=public_keys.host_key)
FILE = Text("a file on this machine", r"""[^"%\x00-\x1f]+""", "write its path, such as ~/.ssh/id_ed25519")
LOGIN_KEY = Text("a public key", refusal=public_keys.login_key)
KEY_NAME = Text(
    "a name for a key", r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", "name whose it is, such as laptop or ci"
)
SSHD_KEYWORD = Text(
    "a keyword of sshd_config", r"[A-Z][A-Za-z0-9]+", "spell it as its manual does: MaxSessions"
)
SSHD_VALUE = NumberOrText(
    Text(
        "a value of sshd_config",
        r"""[^"#\\\x00-\x1f\s](?:[^"#\\\x00-\x1f]*[^"#\\\x00-\x1f\s])?""",
        'write "yes" and "no" in quotes',
    )
)
NETWORK = Text("an address or network", refusal=_network)
EXPOSED = Text(
    "something that a host exposes",
    exposure_keys.ACCEPTED,
    "copy it from the line of difference, without its owner, such as udp4 0.0.0.0:5353 or network monitoring",
)
REASON = Text("a reason", r"[^\x00-\x1f]*\S[^\x00-\x1f]*", "write in a line why it may be there")
RULE = Text("a port with its protocol", refusal=_rule)
DESTINATION = Text("a destination", refusal=_destination)
INTERFACE = Text("the name of a network interface", forward_filter.INTERFACE)
OUTSIDE = Text("the name of a network interface", forward_filter.INTERFACE, refusal=_outside)
POOL = Text("an IPv4 network", refusal=_pool)
# As fail2ban and systemd both read it; months and years are not of one length.
DURATION = NumberOrText(
    Text("a length of time", r"[1-9][0-9]{0,8}[smhdw]?", "write 600 (seconds), 10m, 12h, 7d or 8w", _duration)
)
IDLE = Number("a number of seconds", 60, 86400)
_SIZE = r"[1-9][0-9]{0,5}[MG]"
SIZE = Text("a size", _SIZE, "write 500M or 2G")
SWAP = Text("a size of swap", rf"none|{_SIZE}", "write 2G, or none")
REBOOT = Text("a time of day", r"never|(?:[01][0-9]|2[0-3]):[0-5][0-9]", 'write "04:00", in quotes, or never')
SYSCTL = Text(
    "a kernel setting",
    r"[a-z0-9_-]+(?:\.(?:\*|[A-Za-z0-9_/-]+))+",
    "write it with dots: net.ipv4.tcp_syncookies; * stands for every interface",
)
SYSCTL_VALUE = NumberOrText(Text("a value of a kernel setting", r"-?[A-Za-z0-9/._ -]*[A-Za-z0-9]", "write 1"))
SYSCTL_PREFIX = Text("the beginning of kernel settings", r"[a-z0-9_.-]+", "write net. or kernel.yama.")
LOGIN = Text("a user name", r"[a-z_][a-z0-9_-]{0,31}", "write the name as in /etc/passwd")
# useradd(8) takes 32 characters, and the account's name begins with what it is for.
PERSON = Text(
    "a name for a person",
    rf"[a-z_][a-z0-9_-]{{0,{31 - len(tunnel.PREFIX)}}}",
    "write small letters, digits and dashes, such as alice",
)
STORE = Text("a name for a store", r"[a-z][a-z0-9-]{0,30}", "write small letters, digits and dashes: redis")
TUNNEL_ACCOUNT = Text(
    "an account for tunnels", rf"{tunnel.PREFIX}{PERSON.pattern}", f"write {tunnel.PREFIX}alice"
)
SERVER_NAME = Text("a host name", refusal=_server_name)
IMAGE = Text("an image", refusal=_image, hint="write NAME@sha256:…")
IMAGE_BY_TAG = Text("an image", refusal=_image_by_tag, hint="write NAME:TAG or NAME@sha256:…")
DIGEST_POLICY = Choice("a rule for digests", ("required", "resolved"), {})
REGISTRY = Text("the name of a registry", refusal=_registry)
# RFC 3986 without escapes and quotes: it stands inside single quotes in the health command.
URL_PATH = Text(
    "a path", r"/[A-Za-z0-9._~/?=&%+,-]{0,200}", "write a path that starts with /, such as /healthz"
)
PATH_PREFIX = Text(
    "the beginning of a path",
    r"/[A-Za-z0-9._~/-]{0,200}",
    "write a path that starts with /; /api/ is all that is below it",
)
FOLDER = Text("a folder", r"[A-Za-z0-9._/][A-Za-z0-9._~/@+-]*", "write examples/app/web/dist")
STORE_USE = Text(
    "a store", r"redis|mongo\.[A-Za-z0-9_-]{1,63}", "write redis, or mongo. and the name of a database"
)
COMMAND_LINE = Text("a command", r"[^\x00-\x1f]+", "write one line, as for a shell")
ENV_NAME = Text("a name for an environment variable", r"[A-Za-z_][A-Za-z0-9_]*", "write LIKE_THIS")
CONTAINER_USER = NumberOrText(Text("a user", refusal=_container_user))
OWNER = Text(
    "an owner by numbers",
    r"[1-9][0-9]{0,9}:[0-9]{1,10}",
    "write user and group inside the container as numbers, such as 999:999: the host has no names for them",
)
SECRET_NAME = Text(
    "a name for a secret",
    r"[A-Za-z][A-Za-z0-9._-]{0,62}",
    "start with a letter, then letters, digits, dots, dashes and underscores; it becomes a file's name",
)
BRIDGE = Text("the address of a bridge", refusal=_bridge)
PORT = Number("a port", 1, _LAST_PORT)
# Docker refuses less than 6 MB; the upper bound only catches a value that was meant in another unit.
MEMORY = Number("an amount of memory in MB", 6, 4_194_304, "write the number of megabytes, such as 256")
# A health check and Docker's init take some; the upper bound is the kernel's own for one machine.
PIDS = Number("a number of processes", 8, 4_194_304)
VOLUME = Text(
    "a name for a volume", r"[A-Za-z0-9][A-Za-z0-9_.-]{1,127}", "write letters, digits, dashes and dots"
)
INSIDE = Text("a path inside a container", refusal=_inside)
BIND = Text("a path on the host", refusal=_bind_mount)
TMPFS = Number("a size in MB", 1, 4_194_304)
# One hour: whoever waits for a deployment waits for this.
STOP_GRACE = Number("a number of seconds", 1, 3600)
# The host's answer is waited for 20 minutes at most, for all that one resource does.
HEALTHY_WITHIN = Number("a number of seconds", 1, 900)
DRAIN = Number("a number of seconds", 0, 900)
JOB_WITHIN = Number("a number of seconds", 1, 900)
REFRESH = Text(
    "a name for a label", r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?", "write small letters, digits, dashes"
)
# Redis itself takes some 10 MB.
REDIS_MEMORY = Number(
    "an amount of memory in MB", 32, 4_194_304, "write the number of megabytes, such as 256"
)
REDIS_PERSISTENCE = Choice("a way to keep data", ("aof", "none"), {"rdb": "a crash would take minutes of it"})
REDIS_EVICTION = Choice("a policy of Redis", redis.EVICTIONS, {})
CPUS = Fraction("a number of CPUs", Decimal("0.01"), Decimal(512), _cpus)
ARGUMENT = Literal()
OS = Choice(
    "an operating system that is known",
    # Ubuntu: rendered and unit-tested, not proven on a host.
    ("debian-12", "debian-13", "ubuntu-22.04", "ubuntu-24.04"),
    {
        "debian-10": "it gets no security updates any more",
        "debian-11": "it gets no security updates any more",
        "ubuntu-18.04": "its standard support has ended, and its Python is too old",
        "ubuntu-20.04": "its standard support has ended, and its Python is too old",
        "ubuntu-26.04": "it has not been looked at yet",
    },
)
NO_SITES = {
    system: f"its nginx {dialect.nginx} cannot refuse TLS for unknown hosts (that came with 1.19.4)"
    for system, dialect in DIALECTS.items()
    if not dialect.rejects_handshakes
}
"""Operating systems whose hosts can serve no site, with the reason."""
