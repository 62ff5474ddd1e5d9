"""Whether sshd would still let in who tells it what is declared, as far as that can be known before."""

from __future__ import annotations

import fnmatch
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Dict, List

from portcullis.agent.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.agent.guarded import Address, Peer
    from portcullis.components.ssh.facts import SshServerDesired

_USER_LOGIN = "declare a user with sudo, and make it this host's `user` in the settings"


@dataclass(frozen=True)
class _Login:
    """Who is to log in afterwards, from where, under which options (keywords in small letters)."""

    user: str
    groups: List[str] | None  # None where nobody asked
    address: Address | None
    options: Dict[str, str]


def refusal(
    desired: SshServerDesired, taken: Mapping[str, str], groups: Mapping[str, list[str]], peer: Peer | None
) -> AgentError | None:
    """Why the login that deploys would be refused, None where nothing says that it would; pure.

    Args:
        desired: the server as it is declared.
        taken: ports that other programs listen on, with their names.
        groups: the groups of users.
        peer: where this session comes from.
    """
    user = desired.login or "root"
    options = {name.lower(): value for name, value in desired.options.items()}
    login = _Login(user, groups.get(user), peer.address if peer else None, options)
    if desired.port in taken:
        return AgentError(
            "invalid",
            f"{taken[desired.port]} listens on {desired.port} already",
            prop="port",
            hint="choose another port",
        )
    for check in (_root, _keys, _methods, _users, _groups, _sessions):
        error = check(login)
        if error:
            return error
    return _host_key(desired.pinned, options)


def _error(option: str, message: str, hint: str) -> AgentError:
    return AgentError("invalid", message, prop=f"options.{option}", hint=hint)


def _root(login: _Login) -> AgentError | None:
    allowed = login.options.get("permitrootlogin", "prohibit-password").lower()
    if login.user == "root" and allowed in ("no", "forced-commands-only"):
        return _error(
            "PermitRootLogin", f"{allowed} refuses root, who the settings say is to log in", _USER_LOGIN
        )
    return None


def _keys(login: _Login) -> AgentError | None:
    if login.options.get("pubkeyauthentication", "yes").lower() == "no":
        return _error("PubkeyAuthentication", "no refuses every key, and only keys let in", "leave it out")
    return None


def _methods(login: _Login) -> AgentError | None:
    ways = login.options.get("authenticationmethods", "any").lower().split()
    if "any" in ways or "publickey" in ways:
        return None
    return _error(
        "AuthenticationMethods",
        f"{' '.join(ways)} asks for more than one key, which nobody is there to give",
        "let publickey alone be one of the ways",
    )


def _users(login: _Login) -> AgentError | None:
    for pattern in login.options.get("denyusers", "").split():
        if _names(pattern, login):
            return _error("DenyUsers", f"{pattern} refuses {login.user}, who deploys", "leave it out")
    allowed = login.options.get("allowusers", "").split()
    if allowed and not any(_names(pattern, login) for pattern in allowed):
        return _error(
            "AllowUsers", f"{' '.join(allowed)} leaves out {login.user}, who deploys", f"add {login.user}"
        )
    return None


def _groups(login: _Login) -> AgentError | None:
    if login.groups is None:
        return None
    denied = login.options.get("denygroups", "").split()
    if any(_matches(group, denied) for group in login.groups):
        return _error("DenyGroups", f"{' '.join(denied)} refuses {login.user}, who deploys", "leave it out")
    allowed = login.options.get("allowgroups", "").split()
    if allowed and not any(_matches(group, allowed) for group in login.groups):
        return _error(
            "AllowGroups",
            f"{' '.join(allowed)} leaves out {login.user}, who deploys and is in "
            f"{', '.join(login.groups) or 'no group'}",
            f"add a group of {login.user}'s",
        )
    return None


def _sessions(login: _Login) -> AgentError | None:
    if login.options.get("maxsessions") == "0":
        return _error("MaxSessions", "0 allows logins and no session in them", "write at least 1")
    return None


def _host_key(pinned: str, options: Dict[str, str]) -> AgentError | None:
    """Whether the key that the settings pin would still be shown; `pinned` is its type."""
    word = {"ssh-ed25519": "ed25519", "ssh-rsa": "rsa"}.get(pinned, pinned.partition("-")[0])
    offered = options.get("hostkey", "")
    if not pinned or not offered or f"_{word}_" in offered:
        return None
    return _error(
        "HostKey",
        f"the settings pin the host's {word} key, which would not be shown any more",
        "pin its Ed25519 key: `ssh-keyscan -t ed25519 ADDRESS` prints it",
    )


def _names(pattern: str, login: _Login) -> bool:
    """Whether a pattern of AllowUsers, ``USER`` or ``USER@HOST``, names this login."""
    user, at, host = pattern.partition("@")
    if not fnmatch.fnmatchcase(login.user, user):
        return False
    if not at or login.address is None:
        return True
    if "/" not in host:
        return fnmatch.fnmatchcase(str(login.address), host)
    try:
        return login.address in ipaddress.ip_network(host, strict=False)
    except ValueError:
        return False


def _matches(name: str, patterns: List[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
