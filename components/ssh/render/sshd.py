"""sshd's drop-in: logins with keys only, and only the features that administering a host needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from portcullis.components.previews import render as preview
from portcullis.components.ssh.facts import ENTRANCE
from portcullis.components.tunnels.render import tunnel
from portcullis.rendering import header, word

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from portcullis.dialect import Dialect

# sshd_config(5): each value of these options needs a line of its own.
_ONE_A_LINE = frozenset({"HostKey"})
_SHARED_SESSIONS = 64

_NAME = """\
#
# sshd reads this file first because of its name. For most options the first line counts (sshd_config(5)).
# So this file wins even if a later one, such as 50-cloud-init.conf, allows passwords.
"""
_PORT = """
# When the port moves, sshd also listens on the old port until a login on the new one has worked.
"""
_SHARED = """
# A deploy, the docker provider and people's shells share one connection. If it may hold fewer sessions, ssh
# opens new connections.
"""
_REPEATED = """
# Repeated for every user: a Match block in a later file could otherwise change these options.
"""


@dataclass(frozen=True, slots=True)
class SshdOptions:
    """The values that differ between hosts.

    Attributes:
        port: TCP port.
        login: the user who deploys.
        root_login: whether root may log in: with a key only, or never.
        exempt: addresses and networks that sshd never delays after failed logins.
        more: options of sshd_config(5) that replace or add to ours, such as {"AllowUsers": "deploy"}.
        tunnels: accounts that may only open tunnels, each with the addresses and ports that it may reach.
        preview: whether the account of the preview key is declared.
    """

    port: int = 22
    login: str = "root"
    root_login: Literal["prohibit-password", "no"] = "prohibit-password"
    exempt: tuple[str, ...] = ()
    more: Mapping[str, str] = field(default_factory=dict)
    tunnels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    preview: bool = False


@dataclass(frozen=True, slots=True)
class _Option:
    name: str
    value: str
    why: str


def effective_options(options: SshdOptions, dialect: Dialect) -> dict[str, str]:
    """Return every option that must be in effect for all users, with its value. `Port` is not included.

    Args:
        options: the values of this host.
        dialect: the options that the system's OpenSSH understands.
    """
    return {option.name: option.value for option in _options(options, dialect)}


def effective_for_users(options: SshdOptions) -> dict[str, dict[str, str]]:
    """Return the options that must be in effect for single users only: user to options."""
    found = {name: tunnel.effective(targets) for name, targets in options.tunnels.items()}
    return found | ({preview.ACCOUNT: preview.effective()} if options.preview else {})


def drop_in(resource: str, options: SshdOptions, dialect: Dialect) -> str:
    """Return the text of the drop-in.

    Args:
        resource: name of the resource that declares it.
        options: the values of this host.
        dialect: the options that the system's OpenSSH understands.
    """
    known = _options(options, dialect)
    values = {option.name: option.value for option in known}
    parts = [header(resource, "How users log in to the SSH server of this host."), _NAME, _PORT]
    parts += [f"Port {options.port}\n"]
    parts += [f"\n# {option.why}\n{_lines(option)}" for option in known]
    parts += [_SHARED, f"Match User {word(options.login)}\n    MaxSessions {_SHARED_SESSIONS}\n"]
    parts += [tunnel.blocks(options.tunnels)]
    parts += [preview.block()] if options.preview else []
    parts += [_REPEATED, "Match all\n"]
    parts += [f"    {name} {values[name]}\n" for name in ENTRANCE if name in values]
    return "".join(parts)


def _lines(option: _Option) -> str:
    values = option.value.split() if option.name in _ONE_A_LINE else [option.value]
    return "".join(f"{option.name} {value}\n" for value in values)


def _options(options: SshdOptions, dialect: Dialect) -> list[_Option]:
    """Return the options in the order of the file. An option of `more` replaces ours; case is ignored."""
    replaced = {name.lower(): (name, value) for name, value in options.more.items()}
    found = []
    for option in _ours(options, dialect):
        _, value = replaced.pop(option.name.lower(), ("", option.value))
        found.append(_Option(option.name, _one_line(value), option.why))
    return found + [
        _Option(name, _one_line(value), "Set by the settings of this host.")
        for name, value in replaced.values()
    ]


def _one_line(value: str) -> str:
    if not value.isprintable() or not value or value != value.strip() or "#" in value:
        raise ValueError(f"{value!r} cannot be a value in sshd_config")
    return value


def _ours(options: SshdOptions, dialect: Dialect) -> list[_Option]:
    found = [
        _Option(
            "PermitRootLogin",
            options.root_login,
            "root may log in with a key only (prohibit-password), or never (no).",
        ),
        _Option("PubkeyAuthentication", "yes", "A key is the only way to log in."),
        _Option(
            "AuthenticationMethods",
            "publickey",
            "The only method, as a complete list: neither PAM nor a later version of sshd can add one.",
        ),
        _Option("PasswordAuthentication", "no", "Attackers guess passwords all day long."),
        _Option("KbdInteractiveAuthentication", "no", "With PAM this asks for a password too."),
        _Option("PermitEmptyPasswords", "no", "Not even if somebody allows other passwords again."),
        _Option("HostbasedAuthentication", "no", "No other machine may vouch for its users."),
        _Option("GSSAPIAuthentication", "no", "No Kerberos: its code would run before the login."),
        _Option(
            "AuthorizedKeysFile",
            ".ssh/authorized_keys .ssh/authorized_keys2",
            "The default, written out. Only the keys of the declared users count: …",
        ),
        _Option("AuthorizedKeysCommand", "none", "… no program may supply other keys, …"),
        _Option("TrustedUserCAKeys", "none", "… and no authority may sign them."),
        _Option(
            "HostKey",
            "/etc/ssh/ssh_host_ed25519_key /etc/ssh/ssh_host_rsa_key",
            "No ECDSA: many distrust its NIST curves. Clients have pinned these keys: never replace them.",
        ),
        _Option(
            "KexAlgorithms",
            "-ecdh-sha2-nistp*,diffie-hellman-group14-*,diffie-hellman-group-exchange-*",
            "Removed from the system's default list: updates can still add newer (post-quantum) algorithms.\n"
            "# Many distrust the NIST curves. Group 14 has 2048 bits, as the groups in moduli(5) may have.",
        ),
        _Option(
            "MACs",
            "-hmac-sha1*,umac-64*,hmac-sha2-256,hmac-sha2-512,umac-128@openssh.com",
            "No SHA-1, no 64-bit tags, no encrypt-and-MAC: the encrypt-then-MAC algorithms remain.",
        ),
        _Option(
            "MaxAuthTries",
            "3",
            "Keys that a client may try in one connection. Clients with more keys need IdentitiesOnly.",
        ),
        _Option("MaxSessions", "10", "Sessions in one connection. The user who deploys gets more, below."),
        _Option(
            "LoginGraceTime",
            "30",
            "Seconds to log in. The default of two minutes helps attackers hold slots.",
        ),
        _Option(
            "MaxStartups",
            "10:30:60",
            "Connections that have not logged in: from 10 on sshd refuses some by chance, from 60 on all.",
        ),
        _Option(
            "PerSourceMaxStartups", "10", "The limit for one address, so that it cannot take every slot."
        ),
        _Option("ClientAliveInterval", "300", "Ask the client inside the encryption whether it is alive …"),
        _Option("ClientAliveCountMax", "3", "… and close the connection after a quarter of an hour."),
        _Option(
            "TCPKeepAlive", "no", "Such a check outside the encryption: anybody on the network can fake it."
        ),
        _Option(
            "AllowTcpForwarding",
            "local",
            "Tunnels from a client to ports of this host (ssh -L, ProxyJump), none in the other direction.",
        ),
        _Option("AllowStreamLocalForwarding", "local", "The same for Unix sockets."),
        _Option("AllowAgentForwarding", "no", "root on this host could use the keys of everybody logged in."),
        _Option("X11Forwarding", "no", "A server has no windows to show."),
        _Option("PermitTunnel", "no", "No network interfaces over SSH."),
        _Option("GatewayPorts", "no", "Ports that clients forward listen on loopback only."),
        _Option(
            "PermitUserEnvironment",
            "no",
            "LD_PRELOAD in a user's file would bypass the restrictions of keys.",
        ),
        _Option(
            "Compression",
            "no",
            "The length of compressed data reveals secrets, and sshd needs one library less.",
        ),
        _Option("UseDNS", "no", "A login neither waits for a resolver nor trusts its answer."),
        _Option("LogLevel", "VERBOSE", "Log the fingerprint of the key at a login. fail2ban needs it too."),
        _Option("DebianBanner", "no", "Do not reveal the exact package version before the login."),
    ]
    if dialect.required_rsa_size:
        why = "sshd refuses shorter RSA keys, both users' keys and host keys."
        found.insert(12, _Option("RequiredRSASize", "3072", why))
    if options.exempt and dialect.source_penalties:
        found.append(
            _Option(
                "PerSourcePenaltyExemptList",
                ",".join(map(word, options.exempt)),
                "sshd delays addresses after failed logins, but never these.",
            )
        )
    return found
