"""The types of setting values that several components share, such as `port: Port`.

Some values end up in a configuration file or on a command line. The types of these values allow no special
character of such a file or shell: no quotes, spaces, semicolons, braces, dollars or line ends. Renderers rely
on the absence of special characters. A type that only one component needs is in the file `args.py` of this
component.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from portcullis.config import public_keys
from portcullis.config.value_types import (
    Choice,
    Literally,
    Number,
    NumberOrText,
    OrOutput,
    SecretText,
    Text,
)

if TYPE_CHECKING:
    import pulumi

    from portcullis.config.secret import Secret

    SecretInput = Secret | pulumi.Input[str]
    TextInput = str | pulumi.Output[str]
else:
    SecretInput = TextInput = Any

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DNS_NAME = rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})+"
# A file name may have 255 bytes. The file names of a site's log and of its temporary file are longer than the
# site's name.
_LONGEST_SITE = 200
# The grammar of references: https://pkg.go.dev/github.com/distribution/reference
_TAG = r":[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_IMAGE_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_IMAGE_NAME = (
    rf"(?:{_LABEL}(?:\.{_LABEL})*(?::[1-9][0-9]{{0,4}})?/)?{_IMAGE_PART}(?:/{_IMAGE_PART})*(?:{_TAG})?"
)
PRIVATE = [ipaddress.IPv4Network(block) for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]
"""Private networks (RFC 1918, section 3). Python's is_private covers more than these."""
LAST_PORT = 65535
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LONGEST = 260
_DIGEST_HOW = (
    "pin the image that you tested: `docker buildx imagetools inspect NAME:TAG` prints the digest, "
    "then write NAME@sha256:…"
)


def _address(text: str) -> tuple[str, str] | None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        # Only ASCII: lower() maps some other letters to ASCII letters, such as the Kelvin sign to k.
        if (
            text.isascii()
            and re.fullmatch(rf"{_LABEL}(?:\.{_LABEL})*", text.lower())
            and not re.fullmatch(r"[0-9.]+", text)
        ):
            return None
    else:
        # A link-local address with an interface is valid on one machine only.
        if "%" not in text:
            return None
    return ("is neither an IP address nor a host name", "write it without port, user or brackets")


def _address_v6(text: str) -> tuple[str, str] | None:
    try:
        spelling = str(ipaddress.IPv6Address(text))
    except ValueError:
        return ("is not an IPv6 address", "write it as in 2001:db8::10, without prefix or brackets")
    if "%" in text:
        return ("names an interface", "write the address that other machines reach")
    return None if text == spelling else ("is not in its normal form", f"write {spelling}")


def _spelling(name: str) -> str:
    """Return the normal form of a host name: lower-case ASCII letters without a dot at the end."""
    plain = name.lower().rstrip(".")
    try:
        return ".".join(map(_ascii, plain.split(".")))
    except UnicodeError:
        return plain


def _ascii(label: str) -> str:
    """Return a label in ASCII.

    We do not leave ß to Python's own codec: it follows IDNA 2003 and turns straße.de into strasse.de.
    """
    if label.isascii():
        return label
    # Since IDNA 2008 these letters make names of their own, which browsers ask for (RFC 5894, 7.2).
    if set(label) & set("ßς\u200c\u200d"):
        return f"xn--{label.encode('punycode').decode()}"
    return label.encode("idna").decode()


def server_name_fault(text: str) -> tuple[str, str] | None:
    """Return reason and hint if a text is not the host name of a site, otherwise None."""
    if re.fullmatch(r"[0-9.]+", text) or ":" in text:
        page = re.fullmatch(r"https?://([^/:?#@\[]+)(?:[/:?#][^@]*)?", text)
        name = _spelling(page[1]) if page else ""
        is_host = re.fullmatch(_DNS_NAME, name) and not re.fullmatch(r"[0-9.]+", name)
        way = f"write {name}" if is_host else "write the host name of the site, such as www.example.com"
        return ("is an address", way)
    if "*" in text:
        return ("is a wildcard", "name each site")
    spelling = _spelling(text)
    if not re.fullmatch(_DNS_NAME, spelling):
        return ("is not a host name", "write it as in DNS: www.example.com")
    if text != spelling:
        return ("is not in its normal form", f"write {spelling}")
    if len(text) > _LONGEST_SITE:
        return (f"is longer than {_LONGEST_SITE} characters", "the names of its log files would be too long")
    return None


def _image(text: str) -> tuple[str, str] | None:
    name, _, digest = text.partition("@")
    if re.fullmatch(_IMAGE_NAME, name) and not digest:
        return ("is not pinned: the registry may change what this name stands for", _DIGEST_HOW)
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
        return ("names no tag, so each new release would change the image", how)
    return None


def _container_user(text: str) -> tuple[str, str] | None:
    if not re.fullmatch(r"[a-z0-9_][a-z0-9_-]{0,31}(?::[a-z0-9_][a-z0-9_-]{0,31})?", text):
        return ("is not a user", "write a name or a number, with :group where needed")
    user, _, group = text.partition(":")
    if _is_root(user):
        return ("is root", "write another user that the image has, or a number")
    if _is_root(group):
        return ("is in root's group, which can write files in many images", "write another group")
    return None


def _is_root(name: str) -> bool:
    """Tell whether Docker reads a user name as root. Docker reads digits as a number, so 00 is 0."""
    return name == "root" or (name.isdecimal() and int(name) == 0)


def _network(text: str) -> tuple[str, str] | None:
    hint = "write 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32"
    # Python accepts any text after a %, as the name of an interface.
    if "%" in text:
        return ("is not an address or network", hint)
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return ("is not an address or network", hint)
    one = network.prefixlen == network.max_prefixlen
    spelling = str(network.network_address if one else network)
    if text != spelling:
        return ("is not in its normal form", f"write {spelling}")
    return None


def _duration(text: str) -> tuple[str, str] | None:
    found = re.fullmatch(r"([0-9]{1,9})([smhdw]?)", text)
    seconds = int(found[1]) * _SECONDS[found[2] or "s"] if found else 0
    if seconds > _LONGEST * _SECONDS["w"]:
        return (f"is longer than {_LONGEST} weeks (five years)", "write a shorter time, such as 52w")
    return None


def is_program(text: str) -> bool:
    """Tell whether systemd accepts a text as the path of a program: absolute, without spaces, `.` or `..`."""
    return re.fullmatch(r"(?:/(?!\.{1,2}(?:/|$))[^/\s]+)+", text) is not None


class _HostKey(Text):
    """A public key of a host, which people may paste as ssh-keyscan prints it."""

    def read(self, raw: Any) -> str:
        """Return the key without the address before it."""
        return super().read(public_keys.without_address(raw) if isinstance(raw, str) else raw)


Alias = Annotated[
    str,
    Text(
        "a name for a host",
        # Portcullis adds aliases with these two endings, for the first login and for the jump host.
        r"(?!.*-(?:bootstrap|jump)$)[a-z][a-z0-9-]{0,30}",
        "start with a lower-case letter, then lower-case letters, digits and dashes, not ending in "
        "-bootstrap or -jump; the name becomes the alias in ssh_config",
    ),
]
AppName = Annotated[
    str,
    Text(
        "a name for an app",
        # An app's network has the app's name, and Docker has networks with these four names.
        r"(?!(?:host|bridge|none|default)$)[a-z][a-z0-9-]{0,30}",
        "start with a lower-case letter, then lower-case letters, digits and dashes, but not host, bridge, "
        "none or default, which are Docker's own networks",
    ),
]
Address = Annotated[str, Text("the address of a host", refused=_address)]
AddressV6 = Annotated[str, Text("an IPv6 address", refused=_address_v6)]
Network = Annotated[str, Text("an address or network", refused=_network)]
Port = Annotated[int, Number("a port", 1, LAST_PORT)]
HostKey = Annotated[str, _HostKey("the public key of a host", refused=public_keys.host_key)]
LocalFile = Annotated[
    str, Text("a file on this machine", r"""[^"%\x00-\x1f]+""", "write its path, such as ~/.ssh/id_ed25519")
]
LoginKey = Annotated[str, Text("a public key", refused=public_keys.login_key)]
KeyName = Annotated[
    str,
    Text("a name for a key", r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", "name its owner, such as laptop or ci"),
]
Login = Annotated[str, Text("a user name", r"[a-z_][a-z0-9_-]{0,31}", "write the name as in /etc/passwd")]
Reason = Annotated[
    str, Text("a reason", r"[^\x00-\x1f]*\S[^\x00-\x1f]*", "write on one line why you accept it")
]
# Only the units that fail2ban and systemd read alike. Months and years differ in length.
Duration = Annotated[
    str,
    NumberOrText(
        Text(
            "a length of time",
            r"[1-9][0-9]{0,8}[smhdw]?",
            "write 600 (seconds), 10m, 12h, 7d or 8w",
            _duration,
        )
    ),
]
ServerName = Annotated[str, Text("a host name", refused=server_name_fault)]
_BY_TAG = Text("an image", refused=_image_by_tag, hint="write NAME:TAG or NAME@sha256:…")
Image = Annotated[str, _BY_TAG]
"""An image by tag or by digest."""
ImageInput = Annotated[TextInput, OrOutput(_BY_TAG)]
"""An image by tag or by digest, or an output."""
PinnedImage = Annotated[str, Text("an image", refused=_image, hint="write NAME@sha256:…")]
"""An image by digest."""
EnvName = Annotated[
    str, Text("a name for an environment variable", r"[A-Za-z_][A-Za-z0-9_]*", "write LIKE_THIS")
]
Argument = Annotated[str, Literally()]
"""Text that is passed on unchanged."""
ArgumentInput = Annotated[TextInput, OrOutput(Literally())]
"""Text that is passed on unchanged, or an output."""
ContainerUser = Annotated[str, NumberOrText(Text("a user", refused=_container_user))]
Owner = Annotated[
    str,
    Text(
        "a numeric owner",
        r"[1-9][0-9]{0,9}:[0-9]{1,10}",
        "write the numbers of user and group inside the container, such as 999:999: the host does not know "
        "their names",
    ),
]
SecretName = Annotated[
    str,
    Text(
        "a name for a secret",
        r"[A-Za-z][A-Za-z0-9._-]{0,62}",
        "start with a letter, then letters, digits, dots, dashes and underscores; it becomes a file name",
    ),
]
SecretValue = Annotated[SecretInput, SecretText()]
"""A secret text or output. It becomes a `Secret`, which no message shows."""
StoreName = Annotated[
    str,
    Text("a name for a store", r"[a-z][a-z0-9-]{0,30}", "write lower-case letters, digits and dashes: redis"),
]
Os = Annotated[
    Literal["debian-12", "debian-13", "ubuntu-22.04", "ubuntu-24.04"],
    # Ubuntu: rendered and unit-tested, but not tested on a real host.
    Choice(
        "a supported operating system",
        refused={
            "debian-10": "it gets no security updates any more",
            "debian-11": "it gets no security updates any more",
            "ubuntu-18.04": "its standard support has ended, and its Python is too old",
            "ubuntu-20.04": "its standard support has ended, and its Python is too old",
            "ubuntu-26.04": "nobody has tested it yet",
        },
    ),
]
