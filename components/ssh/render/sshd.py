"""sshd's drop-in: keys only, and as little else as administering a host over SSH needs."""

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

# sshd(8): of these each value is a line, or the line may grow too long to review.
_ONE_A_LINE = frozenset({"HostKey"})
_SHARED_SESSIONS = 64

_NAME = """\
#
# Its name makes it the first that sshd reads here: of most options the first line counts (sshd_config(5)),
# and 50-cloud-init.conf allows passwords.
"""
_PORT = """
# A port that moves is listened on beside the old one until a login on it has worked.
"""
_SHARED = """
# A deployment, the docker provider and people's shells share one connection; with fewer sessions in it, ssh
# falls back to new logins.
"""
_AGAIN = """
# Once more, for everybody: else a Match block in a later file could let some in another way.
"""


@dataclass(frozen=True, slots=True)
class SshdOptions:
    """What varies between servers.

    Attributes:
        port: TCP port.
        login: the user who deploys.
        root_login: whether root may come in, with a key only, or not at all.
        exempt: addresses and networks that sshd never makes wait after failed logins.
        more: options of sshd_config(5) that replace or add to ours, such as {"AllowUsers": "deploy"}.
        tunnels: accounts that tunnel and do nothing else, each with the addresses and ports that it reaches.
        preview: whether the account of the preview key is there.
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
    """Return every option that has to hold, with its value; `Port` is not among them.

    Args:
        options: what varies.
        dialect: what the system's OpenSSH understands.
    """
    return {option.name: option.value for option in _options(options, dialect)}


def effective_for_users(options: SshdOptions) -> dict[str, dict[str, str]]:
    """Return what has to hold for single users only: user to options."""
    found = {name: tunnel.effective(targets) for name, targets in options.tunnels.items()}
    return found | ({preview.ACCOUNT: preview.effective()} if options.preview else {})


def drop_in(resource: str, options: SshdOptions, dialect: Dialect) -> str:
    """Return the text of the drop-in.

    Args:
        resource: name of the resource that declares it.
        options: what varies.
        dialect: what the system's OpenSSH understands.
    """
    known = _options(options, dialect)
    values = {option.name: option.value for option in known}
    parts = [header(resource, "How the SSH server of this host lets people in."), _NAME, _PORT]
    parts += [f"Port {options.port}\n"]
    parts += [f"\n# {option.why}\n{_lines(option)}" for option in known]
    parts += [_SHARED, f"Match User {word(options.login)}\n    MaxSessions {_SHARED_SESSIONS}\n"]
    parts += [tunnel.blocks(options.tunnels)]
    parts += [preview.block()] if options.preview else []
    parts += [_AGAIN, "Match all\n"]
    parts += [f"    {name} {values[name]}\n" for name in ENTRANCE if name in values]
    return "".join(parts)


def _lines(option: _Option) -> str:
    values = option.value.split() if option.name in _ONE_A_LINE else [option.value]
    return "".join(f"{option.name} {value}\n" for value in values)


def _options(options: SshdOptions, dialect: Dialect) -> list[_Option]:
    """Return the options in the order of the file; those of `more` replace ours, whatever their case."""
    replaced = {name.lower(): (name, value) for name, value in options.more.items()}
    found = []
    for option in _ours(options, dialect):
        _, value = replaced.pop(option.name.lower(), ("", option.value))
        found.append(_Option(option.name, _one_line(value), option.why))
    return found + [_Option(name, _one_line(value), "Asked for.") for name, value in replaced.values()]


def _one_line(value: str) -> str:
    if not value.isprintable() or not value or value != value.strip() or "#" in value:
        raise ValueError(f"{value!r} cannot stand on a line of sshd_config")
    return value


def _ours(options: SshdOptions, dialect: Dialect) -> list[_Option]:
    found = [
        _Option(
            "PermitRootLogin",
            options.root_login,
            "root comes in with a key only, or not at all once another user deploys.",
        ),
        _Option("PubkeyAuthentication", "yes", "A key is the one way in."),
        _Option(
            "AuthenticationMethods",
            "publickey",
            "Said again as a whole: nothing that PAM or a later version adds.",
        ),
        _Option("PasswordAuthentication", "no", "Passwords are guessed all day long."),
        _Option("KbdInteractiveAuthentication", "no", "Under PAM this asks for a password too."),
        _Option("PermitEmptyPasswords", "no", "Never, wherever passwords should come back."),
        _Option("HostbasedAuthentication", "no", "No machine vouches for its users."),
        _Option("GSSAPIAuthentication", "no", "No Kerberos: code that runs before the login."),
        _Option(
            "AuthorizedKeysFile",
            ".ssh/authorized_keys .ssh/authorized_keys2",
            "The default, said: keys are where this host's users are declared to have them, …",
        ),
        _Option("AuthorizedKeysCommand", "none", "… no program brings others, …"),
        _Option("TrustedUserCAKeys", "none", "… and no authority signs them."),
        _Option(
            "HostKey",
            "/etc/ssh/ssh_host_ed25519_key /etc/ssh/ssh_host_rsa_key",
            "No ECDSA: its NIST curves are distrusted. Keys are never made anew: people have pinned them.",
        ),
        _Option(
            "KexAlgorithms",
            "-ecdh-sha2-nistp*,diffie-hellman-group14-*,diffie-hellman-group-exchange-*",
            "Taken away from what the system offers, so that newer (post-quantum) ones come with updates.\n"
            "# NIST curves are distrusted, group 14 has 2048 bits, and so may have the groups of moduli(5).",
        ),
        _Option(
            "MACs",
            "-hmac-sha1*,umac-64*,hmac-sha2-256,hmac-sha2-512,umac-128@openssh.com",
            "No SHA-1, no 64-bit tags, and no MAC under the cipher: encrypt-then-MAC stays.",
        ),
        _Option(
            "MaxAuthTries", "3", "Keys that one connection may try; clients with many need IdentitiesOnly."
        ),
        _Option("MaxSessions", "10", "Sessions in one connection; more below for who deploys."),
        _Option("LoginGraceTime", "30", "Seconds to log in; the default of two minutes lets slots be held."),
        _Option(
            "MaxStartups",
            "10:30:60",
            "Connections before their login: from 10 on refused by chance, at 60 all.",
        ),
        _Option("PerSourceMaxStartups", "10", "The same for one address, so that it cannot take all slots."),
        _Option(
            "ClientAliveInterval", "300", "Ask inside the encryption whether the other side still lives …"
        ),
        _Option("ClientAliveCountMax", "3", "… and give up after a quarter of an hour."),
        _Option("TCPKeepAlive", "no", "The same outside the encryption, which anybody on the way can fake."),
        _Option(
            "AllowTcpForwarding",
            "local",
            "Tunnels to what listens here (ssh -L, ProxyJump); none from outside.",
        ),
        _Option("AllowStreamLocalForwarding", "local", "The same for sockets."),
        _Option(
            "AllowAgentForwarding", "no", "Whoever is root here could use the keys of everybody who comes."
        ),
        _Option("X11Forwarding", "no", "A server has no windows to show."),
        _Option("PermitTunnel", "no", "No network interfaces over SSH."),
        _Option("GatewayPorts", "no", "What people forward listens on loopback."),
        _Option("PermitUserEnvironment", "no", "LD_PRELOAD in a user's file would get past restrictions."),
        _Option("Compression", "no", "Compressed secrets tell their length, and zlib is one library less."),
        _Option("UseDNS", "no", "A login does not wait for a resolver, nor believe it."),
        _Option("LogLevel", "VERBOSE", "Which key came in, by its fingerprint; fail2ban reads this too."),
        _Option("DebianBanner", "no", "Do not tell the exact package version before the login."),
    ]
    if dialect.required_rsa_size:
        why = "Shorter RSA keys, users' and the host's own, are not taken."
        found.insert(12, _Option("RequiredRSASize", "3072", why))
    if options.exempt and dialect.source_penalties:
        found.append(
            _Option(
                "PerSourcePenaltyExemptList",
                ",".join(map(word, options.exempt)),
                "sshd makes addresses wait after failed logins; never these.",
            )
        )
    return found
