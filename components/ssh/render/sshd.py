"""Render sshd's drop-in: logins with keys only, and only the features that administrators of a host need."""

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
# sshd reads this file first because of its name. For most options, sshd uses the first line that it
# reads (sshd_config(5)). So this file forbids passwords even if a later file, such as 50-cloud-init.conf,
# allows them.
"""
_PORT = """
# When the port changes, sshd also listens on the old port until a login on the new port has worked.
"""
_SHARED = """
# This user deploys. A deployment, Pulumi's Docker provider and shells need many sessions, and all of
# them share one connection. MaxSessions limits the sessions of one connection.
"""
_REPEATED = """
# This block sets some options from above again, for all users. sshd takes each option from the first
# Match block that sets it. So a Match block in a later file cannot change these options.
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
    """Return every option that must be in effect for all users, with its value, but without `Port`.

    Args:
        options: the values of this host.
        dialect: the options that the system's OpenSSH understands.
    """
    return {option.name: option.value for option in _options(options, dialect)}


def effective_for_users(options: SshdOptions) -> dict[str, dict[str, str]]:
    """Return the options that must be in effect for single users only, by user."""
    found = {name: tunnel.effective(targets) for name, targets in options.tunnels.items()}
    return found | ({preview.ACCOUNT: preview.effective()} if options.preview else {})


def drop_in(resource: str, options: SshdOptions, dialect: Dialect) -> str:
    """Return the text of the drop-in.

    Args:
        resource: name of the resource that declares the drop-in.
        options: the values of this host.
        dialect: the options that the system's OpenSSH understands.
    """
    known = _options(options, dialect)
    values = {option.name: option.value for option in known}
    parts = [
        header(resource, "This file says how users log in to the SSH server of this host."),
        _NAME,
        _PORT,
    ]
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
    """Return the options in the order of the file. An option of `more` replaces ours, whatever its case."""
    replaced = {name.lower(): (name, value) for name, value in options.more.items()}
    found = []
    for option in _ours(options, dialect):
        _, value = replaced.pop(option.name.lower(), ("", option.value))
        found.append(_Option(option.name, _one_line(value), option.why))
    return found + [
        _Option(name, _one_line(value), "This option comes from the setting ssh.options of this host.")
        for name, value in replaced.values()
    ]


def _one_line(value: str) -> str:
    if not value.isprintable() or not value or value != value.strip() or "#" in value:
        raise ValueError(
            f"{value!r} cannot be a value in sshd_config; write one line of printable characters without #"
        )
    return value


def _ours(options: SshdOptions, dialect: Dialect) -> list[_Option]:
    found = [
        _Option(
            "PermitRootLogin",
            options.root_login,
            "root may log in only with a key (prohibit-password), or may not log in (no).",
        ),
        _Option("PubkeyAuthentication", "yes", "A key is the only way to log in to this host."),
        _Option(
            "AuthenticationMethods",
            "publickey",
            "This list of methods is complete: neither PAM nor a later version of sshd can add a method.",
        ),
        _Option("PasswordAuthentication", "no", "sshd refuses passwords, because attackers guess passwords."),
        _Option(
            "KbdInteractiveAuthentication",
            "no",
            "With PAM, a keyboard-interactive login also asks for a password.",
        ),
        _Option(
            "PermitEmptyPasswords",
            "no",
            "sshd never accepts empty passwords, even if somebody allows passwords again.",
        ),
        _Option(
            "HostbasedAuthentication",
            "no",
            "sshd does not trust another machine to authenticate a user.",
        ),
        _Option(
            "GSSAPIAuthentication", "no", "sshd does not use Kerberos, whose code would run before the login."
        ),
        _Option(
            "AuthorizedKeysFile",
            ".ssh/authorized_keys .ssh/authorized_keys2",
            "sshd reads the keys of a user only from these files in the user's home, which are the default.",
        ),
        _Option("AuthorizedKeysCommand", "none", "sshd runs no program that returns more keys of a user."),
        _Option(
            "TrustedUserCAKeys", "none", "sshd does not trust a certificate authority to sign users' keys."
        ),
        _Option(
            "HostKey",
            "/etc/ssh/ssh_host_ed25519_key /etc/ssh/ssh_host_rsa_key",
            "The host offers no ECDSA key, because many people distrust the NIST curves.\n"
            "# Never replace the keys below, because clients have pinned them.",
        ),
        _Option(
            "KexAlgorithms",
            "-ecdh-sha2-nistp*,diffie-hellman-group14-*,diffie-hellman-group-exchange-*",
            "This line removes algorithms from the system's default list. Updates can still add new "
            "algorithms.\n"
            "# Many people distrust the NIST curves. The Diffie-Hellman group 14 and some groups of\n"
            "# moduli(5) have only 2048 bits.",
        ),
        _Option(
            "MACs",
            "-hmac-sha1*,umac-64*,hmac-sha2-256,hmac-sha2-512,umac-128@openssh.com",
            "This line removes MACs with SHA-1, with 64-bit tags or with encrypt-and-MAC. Encrypt-then-MAC "
            "remains.",
        ),
        _Option(
            "MaxAuthTries",
            "3",
            "A client may try at most this number of keys in one connection.\n"
            "# Clients with more keys need the option IdentitiesOnly.",
        ),
        _Option(
            "MaxSessions",
            "10",
            "One connection may have at most this number of sessions.\n"
            "# A Match block below allows more sessions to the user who deploys with Pulumi.",
        ),
        _Option(
            "LoginGraceTime",
            "30",
            "A client has this number of seconds to log in.\n"
            "# With the default of two minutes, attackers would hold connections for longer.",
        ),
        _Option(
            "MaxStartups",
            "10:30:60",
            "While 10 connections have not logged in, sshd refuses some new connections at random.\n"
            "# While 60 connections have not logged in, sshd refuses all new connections.",
        ),
        _Option(
            "PerSourceMaxStartups",
            "10",
            "One address may have at most this number of connections that have not logged in.",
        ),
        _Option(
            "ClientAliveInterval",
            "300",
            "After this number of seconds, sshd sends a silent client an encrypted request for an answer.",
        ),
        _Option(
            "ClientAliveCountMax",
            "3",
            "sshd closes the connection of a client that does not answer for a quarter of an hour.",
        ),
        _Option(
            "TCPKeepAlive",
            "no",
            "sshd does not use TCP keepalive, because anybody on the network can fake its answers.",
        ),
        _Option(
            "AllowTcpForwarding",
            "local",
            "A client may connect through this host (ssh -L, ProxyJump), but not open ports on it (ssh -R).",
        ),
        _Option(
            "AllowStreamLocalForwarding",
            "local",
            "A client may connect to Unix sockets of this host (ssh -L), but not create a socket (ssh -R).",
        ),
        _Option(
            "AllowAgentForwarding",
            "no",
            "If a client forwarded its SSH agent, root on this host could use the client's keys to log in "
            "elsewhere.",
        ),
        _Option("X11Forwarding", "no", "A server needs no graphical programs."),
        _Option("PermitTunnel", "no", "An SSH connection cannot serve as a VPN between two networks."),
        _Option("GatewayPorts", "no", "A port that a client opens with ssh -R listens on loopback only."),
        _Option(
            "PermitUserEnvironment",
            "no",
            "sshd ignores ~/.ssh/environment. With LD_PRELOAD in this file, a user could bypass the\n"
            "# restrictions of a key.",
        ),
        _Option(
            "Compression",
            "no",
            "sshd does not compress data, because the compressed length can reveal secrets.",
        ),
        _Option(
            "UseDNS",
            "no",
            "sshd does not ask DNS for a client's name: logins would wait, and the name can be false.",
        ),
        _Option(
            "LogLevel",
            "VERBOSE",
            "sshd logs the fingerprint of the key at a login. fail2ban needs this log level, too.",
        ),
        _Option("DebianBanner", "no", "sshd does not reveal its exact package version before the login."),
    ]
    if dialect.required_rsa_size:
        why = "sshd refuses RSA keys with fewer bits, as user keys and as host keys."
        found.insert(12, _Option("RequiredRSASize", "3072", why))
    if options.exempt and dialect.source_penalties:
        found.append(
            _Option(
                "PerSourcePenaltyExemptList",
                ",".join(map(word, options.exempt)),
                "After failed logins, sshd delays logins from the same address, but never from these "
                "addresses.",
            )
        )
    return found
