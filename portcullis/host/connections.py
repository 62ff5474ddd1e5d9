"""Writes one OpenSSH client configuration per stack, which tells how to reach each host.

The host session, the docker provider, probes and people (`ssh -F .portcullis/prod/ssh_config web1`) all use
this file. Resources name only the alias. So no state contains an address, path or key, and a changed address
changes no resource. Each stack has its own file, because two stacks may give one alias to different hosts.
"""

from __future__ import annotations

import dataclasses
import hashlib
import ipaddress
import json
import os
import re
import shlex
import socket
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import pulumi

from portcullis.host import dial
from portcullis.host.files import locked, replace_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CONFIG_FOLDER = Path(".portcullis")
_REACHED = "reached.json"
_NOTHING: Mapping[str, int] = MappingProxyType({})
BOOTSTRAP_SUFFIX = "-bootstrap"
STRICT_SUFFIX = "-declared"
"""The suffix of an alias that connects to the declared port only; the plain alias tries other ports too."""
_DEFAULT_PORT = 22

# OpenSSH has no keywords for these two facts. The provider process gets no other file from the program.
_OS_COMMENT = "# os: "
_LOGIN_COMMENT = "# read-only preview login; the user that deploys is "
_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z")
_WORD = re.compile(r"[^\s\"'\\#%*?!,\x00-\x1f]+\Z")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\$?\Z")
_SYSTEM = re.compile(r"[a-z0-9.-]+\Z")
_FORMS = (
    ("address", _WORD, "an address or a name"),
    ("jump", _WORD, "the alias of a host, or user@address"),
    ("user", _USER, "the name of a user"),
    ("bootstrap_user", _USER, "the name of a user"),
    ("looks_for", _USER, "the name of a user"),
    ("os", _SYSTEM, "an operating system, such as debian-13"),
)
_JUMP = re.compile(r"^ +(?:ProxyJump (\S+)$|ProxyCommand .* (\S+) %h )", re.MULTILINE)
_HOST_KEY = re.compile(r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)) [A-Za-z0-9+/]+=*\Z")
_MAX_PORT = 65535
# The hosts that this process wrote, and the hosts that were added later, by the path of a stack's ssh_config.
_written: dict[Path, Mapping[str, Connection]] = {}
_added: dict[Path, dict[str, Connection]] = {}


@dataclass(frozen=True, slots=True)
class Connection:
    """The address of one host and the login there. All of it is written to `ssh_config` only.

    Attributes:
        address: IPv4 or IPv6 address, or a DNS name.
        user: login user: root, or a user that may run `sudo -n`.
        port: TCP port of sshd.
        host_key: the pinned public key, `ssh-ed25519 AAAA…`, without comment. It may be None only together
            with `trust_first_use`.
        trust_first_use: trust and remember the key that the host shows on the first connection.
        identity_file: private key to use. By default ssh uses its own keys and the ssh-agent.
        jump: the jump host: an alias in this configuration, or `user@address[:port]`.
        bootstrap_user: user to try if the declared login fails, for example on a new VPS.
        bootstrap_port: port to try if the declared login fails.
        os: the declared operating system, such as "debian-13". If the host runs another one, nothing is
            changed. None accepts any.
        looks_for: the user that deploys, if `user` is the read-only account of the preview key.

    Raises:
        ValueError: an attribute is not valid. The message names the attribute, the value, and what would be
            right.
    """

    address: str
    user: str = "root"
    port: int = 22
    host_key: str | None = None
    trust_first_use: bool = False
    identity_file: str | None = None
    jump: str | None = None
    bootstrap_user: str | None = None
    bootstrap_port: int | None = None
    os: str | None = None
    looks_for: str | None = None

    def __post_init__(self) -> None:
        """Refuse values that ssh_config cannot hold."""
        for name, form, wanted in _FORMS:
            value = getattr(self, name)
            if value is not None and (not form.match(value) or value.startswith("-")):
                raise ValueError(f"{name}: ssh_config cannot contain {value!r}; write {wanted}")
        for name in ("port", "bootstrap_port"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= _MAX_PORT:
                raise ValueError(f"{name}: {value!r} is not a TCP port; write a number from 1 to {_MAX_PORT}")
        if self.identity_file is not None and re.search(r'["\x00-\x1f%]', self.identity_file):
            raise ValueError(
                f"identity_file: the path {self.identity_file!r} has a character that ssh_config cannot "
                "contain"
            )
        if self.host_key is not None and not _HOST_KEY.match(self.host_key):
            raise ValueError(
                "host_key: the value is not a public key; write `ssh-ed25519 AAAA…`, as ssh-keyscan prints it"
            )
        if self.host_key is None and not self.trust_first_use:
            raise ValueError(
                "host_key: the host's public key is missing; write it, or set trust_first_use to trust "
                "the key that the host shows first"
            )


def render_ssh_config(
    connections: Mapping[str, Connection],
    *,
    folder: Path,
    sockets: Path,
    reached: Mapping[str, int] = _NOTHING,
) -> str:
    """Return the OpenSSH client configuration for these hosts.

    Until a login on the declared port of a host has worked, ssh also tries the ports on which the host may
    still listen. So a deploy can change the port, and the host stays reachable if the change is undone.

    Args:
        connections: alias to connection.
        folder: absolute folder that holds `known_hosts` and `known_hosts.first-use`.
        sockets: absolute folder for the sockets of shared connections.
        reached: alias to the port of the last confirmed login.

    Raises:
        ValueError: an alias is not valid.
    """
    parts = ["# Portcullis writes this file from the settings at every run and overwrites your changes.\n"]
    for alias, connection in sorted(connections.items()):
        if not _ALIAS.match(alias) or alias.endswith((BOOTSTRAP_SUFFIX, STRICT_SUFFIX)):
            raise ValueError(
                f"the host alias {alias!r} is not valid: use letters, digits, dots and dashes, and do not "
                f"end with {BOOTSTRAP_SUFFIX} or {STRICT_SUFFIX}"
            )
        others = _other_ports(connection, reached.get(alias))
        parts.append(_block(alias, connection, folder=folder, sockets=sockets, other_ports=others))
        if others:
            parts.append(_block(alias, connection, suffix=STRICT_SUFFIX, folder=folder, sockets=sockets))
        if connection.bootstrap_user or connection.bootstrap_port:
            first = dataclasses.replace(
                connection,
                user=connection.bootstrap_user or connection.user,
                port=connection.bootstrap_port or connection.port,
            )
            parts.append(_block(alias, first, suffix=BOOTSTRAP_SUFFIX, folder=folder, sockets=sockets))
    return "\n".join(parts)


def _other_ports(connection: Connection, reached: int | None) -> list[int]:
    """Return the ports to try in addition to the declared port, until a login on that port has worked."""
    if reached == connection.port:
        return []
    known = [reached, connection.bootstrap_port, _DEFAULT_PORT]
    return [port for port in dict.fromkeys(known) if port is not None and port != connection.port]


def remember_port(ssh_config: Path, alias: str, port: int) -> None:
    """Save the port of a working login, in a file beside the stack's `ssh_config`."""
    path = ssh_config.with_name(_REACHED)
    with locked(path.parent):
        replace_file(path, json.dumps({**_remembered(path), alias: port}, indent=1, sort_keys=True) + "\n")


def set_port(ssh_config: Path, alias: str, port: int) -> None:
    """Change the port of a host's alias in `ssh_config`, until the program writes the file again."""
    with locked(ssh_config.parent):
        text = ssh_config.read_text()
        block = _block_of(text, alias)
        changed = re.sub(r"(?m)^( +Port )[0-9]+$", rf"\g<1>{port}", block)
        replace_file(ssh_config, text.replace(block, changed, 1))


def _remembered(path: Path) -> dict[str, int]:
    try:
        read = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}  # this file only saves time: without it, ssh tries more ports
    return {alias: port for alias, port in read.items() if isinstance(port, int)}


def declared_hosts(ssh_config: str) -> list[str]:
    """Return the aliases of the hosts in `ssh_config`, each once.

    Jump hosts are left out, because Portcullis only connects through them.
    """
    aliases = re.findall(r"^Host (\S+)\n", ssh_config, re.MULTILINE)
    jumps = {name for found in _JUMP.findall(ssh_config) for name in found}
    others = {alias + suffix for alias in aliases for suffix in (BOOTSTRAP_SUFFIX, STRICT_SUFFIX)}
    return [alias for alias in aliases if alias not in jumps | others]


def declared_user(ssh_config: str, alias: str) -> str:
    """Return the user that the settings declare for a host, read from `ssh_config`; "" if there is none."""
    block = _block_of(ssh_config, alias)
    found = _looks_for(block) or re.search(r"^ +User (.+)$", block, re.MULTILINE)
    return found.group(1) if found else ""


def only_looks(ssh_config: str, alias: str) -> bool:
    """Tell whether connections to a host use the preview key, which can only read."""
    return _looks_for(_block_of(ssh_config, alias)) is not None


def _looks_for(block: str) -> re.Match[str] | None:
    return re.search(rf"^ +{_LOGIN_COMMENT}(.+)$", block, re.MULTILINE)


def declared_port(ssh_config: str, alias: str) -> int:
    """Return the port that the settings declare for a host, read from `ssh_config`."""
    found = re.search(r"^ +Port ([0-9]+)$", _block_of(ssh_config, alias), re.MULTILINE)
    return int(found.group(1)) if found else _DEFAULT_PORT


def pinned_key_type(ssh_config: Path, alias: str) -> str:
    """Return the type of the key that is pinned for a host, such as ssh-ed25519; "" if no key is pinned."""
    try:
        lines = ssh_config.with_name("known_hosts").read_text().splitlines()
    except OSError:
        return ""
    return next((words[1] for words in map(str.split, lines) if words[:1] == [alias] and len(words) > 1), "")


def dials_several(ssh_config: Path, alias: str) -> bool:
    """Tell whether ssh tries other ports of a host than the declared one."""
    return "ProxyCommand" in _block_of(ssh_config.read_text(), alias)


def has_two_families(ssh_config: str, alias: str) -> bool:
    """Tell whether a host's name has both IPv4 and IPv6 addresses, so that ssh chooses one of them."""
    block = _block_of(ssh_config, alias)
    name = re.search(r"^ +HostName (.+)$", block, re.MULTILINE)
    if not name or "ProxyJump" in block or "ProxyCommand" in block:
        return False
    try:
        ipaddress.ip_address(name.group(1))
    except ValueError:
        try:
            found = socket.getaddrinfo(name.group(1), None, type=socket.SOCK_STREAM)
        except OSError:
            return False
        return len({family for family, *_ in found}) > 1
    return False


def _block_of(ssh_config: str, alias: str) -> str:
    block = re.search(rf"^Host {re.escape(alias)}\n((?:[ ]+.*\n)*)", ssh_config, re.MULTILINE)
    return block.group(1) if block else ""


def declared_os(ssh_config: str, alias: str) -> str | None:
    """Return the operating system that the settings declare for a host, read from `ssh_config`."""
    found = re.search(rf"^Host {re.escape(alias)}\n\s*{_OS_COMMENT}(\S+)$", ssh_config, re.MULTILINE)
    return found.group(1) if found else None


def missing_identity(ssh_config: str, alias: str) -> Path | None:
    """Return the path of the private key that the settings name for a host, if that file is missing."""
    named = re.search(r'IdentityFile "(.+)"', _block_of(ssh_config, alias))
    path = Path(named.group(1)) if named else None
    return path if path and not path.exists() else None


def render_known_hosts(connections: Mapping[str, Connection]) -> str:
    """Return the pinned keys, one line per alias.

    A line has the alias and not the address, so a host keeps its pinned key when its address changes.
    """
    return "".join(f"{alias} {c.host_key}\n" for alias, c in sorted(connections.items()) if c.host_key)


def _block(
    alias: str,
    connection: Connection,
    *,
    folder: Path,
    sockets: Path,
    suffix: str = "",
    other_ports: Sequence[int] = (),
) -> str:
    pinned, looks = connection.host_key is not None, connection.looks_for is not None
    lines = [
        f"Host {alias}{suffix}",
        *([f"{_OS_COMMENT}{connection.os}"] if connection.os else []),
        *([f"{_LOGIN_COMMENT}{connection.looks_for}"] if connection.looks_for else []),
        f"HostName {connection.address}",
        f"User {connection.user}",
        f"Port {connection.port}",
        f"HostKeyAlias {alias}",
        # The user's own known_hosts must neither accept nor refuse a host that is pinned here.
        f'UserKnownHostsFile "{folder / ("known_hosts" if pinned else "known_hosts.first-use")}"',
        "GlobalKnownHostsFile /dev/null",
        f"StrictHostKeyChecking {'yes' if pinned else 'accept-new'}",
        # A provider process has no terminal, so ssh must fail instead of asking a question.
        "BatchMode yes",
        "ConnectTimeout 15",
        "ServerAliveInterval 15",
        "ServerAliveCountMax 4",
        "ForwardAgent no",
        "ForwardX11 no",
        "LogLevel ERROR",
        # The session is the master: it passes ControlMaster=yes. Other ssh processes share its connection.
        "ControlMaster no",
        # A preview must not share the connection of a deploy, and a deploy not that of a preview.
        f'ControlPath "{sockets / _socket_name(folder, alias + suffix + (" looks" if looks else ""))}"',
    ]
    if connection.identity_file:
        # Without IdentitiesOnly, ssh tries all keys of the ssh-agent first and may reach MaxAuthTries.
        lines += [f'IdentityFile "{Path(connection.identity_file).expanduser()}"', "IdentitiesOnly yes"]
    if other_ports:
        lines.append(f"ProxyCommand {_dial_command(folder, connection.jump, other_ports)}")
    elif connection.jump:
        lines.append(f"ProxyJump {connection.jump}")
    return lines[0] + "\n" + "".join(f"    {line}\n" for line in lines[1:])


def _dial_command(folder: Path, jump: str | None, other_ports: Sequence[int]) -> str:
    """Return the ProxyCommand that connects in the place of ssh. ssh passes it to a shell, after `exec`."""
    through = ["--through", str(folder / "ssh_config"), jump] if jump else []
    words = [sys.executable, "-I", os.path.abspath(dial.__file__), *through]  # noqa: PTH100 - links are kept
    quoted = " ".join(shlex.quote(word).replace("%", "%%") for word in words)
    return f"{quoted} %h %p {' '.join(map(str, other_ports))}"


def ssh_config_path(stack: str) -> Path:
    """Return the path of a stack's OpenSSH configuration, relative to the project folder."""
    return CONFIG_FOLDER / stack / "ssh_config"


def write_ssh_config(
    connections: Mapping[str, Connection], *, stack: str | None = None, project: Path | None = None
) -> Path:
    """Write the stack's `ssh_config` and the pinned keys under the project folder; return the file's path.

    Call it before you declare the first resource. It replaces a file only if the content differs. The
    replacement is atomic, because ssh processes of a running operation read the files.

    Args:
        connections: alias to connection, as the settings declare them.
        stack: the stack's name. The default is the stack of the running program.
        project: the folder with Pulumi.yaml. The default is the working directory.
    """
    config = _config(stack, project)
    _written[config] = {**connections}
    _added.pop(config, None)
    _write(config, connections)
    return config


def add_connections(connections: Mapping[str, Connection]) -> None:
    """Add hosts to the running stack's `ssh_config`. Hosts from `write_ssh_config` stay as they are.

    Args:
        connections: alias to connection.
    """
    config = _config()
    added = _added.setdefault(config, {})
    added.update(connections)
    _write(config, {**added, **_written.get(config, {})})


def _config(stack: str | None = None, project: Path | None = None) -> Path:
    return (project or Path.cwd()).resolve() / ssh_config_path(stack or pulumi.get_stack())


def _write(config: Path, connections: Mapping[str, Connection]) -> None:
    folder = config.parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(folder):
        replace_file(folder / "known_hosts", render_known_hosts(connections))
        reached = _remembered(folder / _REACHED)
        rendered = render_ssh_config(connections, folder=folder, sockets=_socket_folder(), reached=reached)
        replace_file(config, rendered)


def _socket_folder() -> Path:
    """Make a private folder with a short path. The path of a socket may have only about 100 bytes."""
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    folder = base / f"portcullis-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    # In a shared /tmp, another user could have made the folder first and would then control our connections.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) != 0o700:  # noqa: PLR2004
        raise PermissionError(f"{folder} exists, but is not your private folder (mode 0700); remove it")
    return folder


def _socket_name(folder: Path, alias: str) -> str:
    """Return a short name that is unique to this project and host."""
    return hashlib.sha256(f"{folder} {alias}".encode()).hexdigest()[:16]
