"""Before a change, check that sshd would still accept the login of the next deploy."""

from __future__ import annotations

import fnmatch
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from portcullis.agent.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.agent.guarded import Address, Peer
    from portcullis.components.ssh.facts import SshServerDesired

_USER_LOGIN = "declare a user with sudo, and name this user as the host's `user` in the settings"


@dataclass(frozen=True)
class _Login:
    """The login of the next deploy: the user, the address, and the options (keywords in lower case)."""

    user: str
    groups: list[str] | None  # None if the agent did not read them
    address: Address | None
    options: dict[str, str]


def refusal(
    desired: SshServerDesired, taken: Mapping[str, str], groups: Mapping[str, list[str]], peer: Peer | None
) -> AgentError | None:
    """Return why sshd would refuse the login of the next deploy, or None if sshd would accept it.

    This function does no I/O.

    Args:
        desired: the SSH server as declared.
        taken: ports that other programs listen on, with the programs' names.
        groups: the groups of each user.
        peer: the address and port from which this session comes.
    """
    user = desired.login or "root"
    options = {name.lower(): value for name, value in desired.options.items()}
    login = _Login(user, groups.get(user), peer.address if peer else None, options)
    if desired.port in taken:
        return AgentError(
            "invalid",
            f"{taken[desired.port]} already listens on port {desired.port}",
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
            "PermitRootLogin",
            f"the value {allowed} refuses root, but the settings deploy as root",
            _USER_LOGIN,
        )
    return None


def _keys(login: _Login) -> AgentError | None:
    if login.options.get("pubkeyauthentication", "yes").lower() == "no":
        return _error(
            "PubkeyAuthentication", "the value no refuses every key: nobody could log in", "remove the option"
        )
    return None


def _methods(login: _Login) -> AgentError | None:
    ways = login.options.get("authenticationmethods", "any").lower().split()
    if "any" in ways or "publickey" in ways:
        return None
    return _error(
        "AuthenticationMethods",
        f"{' '.join(ways)} asks for more than one key, but a deploy has only one key",
        "add publickey as an alternative",
    )


def _users(login: _Login) -> AgentError | None:
    for pattern in login.options.get("denyusers", "").split():
        if _names(pattern, login):
            return _error(
                "DenyUsers", f"{pattern} refuses {login.user}, the user that deploys", "remove the pattern"
            )
    allowed = login.options.get("allowusers", "").split()
    if allowed and not any(_names(pattern, login) for pattern in allowed):
        return _error(
            "AllowUsers",
            f"{' '.join(allowed)} leaves out {login.user}, the user that deploys",
            f"add {login.user}",
        )
    return None


def _groups(login: _Login) -> AgentError | None:
    if login.groups is None:
        return None
    denied = login.options.get("denygroups", "").split()
    if any(_matches(group, denied) for group in login.groups):
        refused = f"{' '.join(denied)} refuses {login.user}, the user that deploys"
        return _error("DenyGroups", refused, "remove the group")
    allowed = login.options.get("allowgroups", "").split()
    if allowed and not any(_matches(group, allowed) for group in login.groups):
        return _error(
            "AllowGroups",
            f"{' '.join(allowed)} leaves out {login.user}, the user that deploys, who is in "
            f"{', '.join(login.groups) or 'no group'}",
            f"add a group that {login.user} is in",
        )
    return None


def _sessions(login: _Login) -> AgentError | None:
    if login.options.get("maxsessions") == "0":
        return _error(
            "MaxSessions",
            "the value 0 allows no session: a deploy could log in, but run nothing",
            "write at least 1",
        )
    return None


def _host_key(pinned: str, options: dict[str, str]) -> AgentError | None:
    """Return an error if sshd would no longer offer the pinned host key; `pinned` is the key's type."""
    word = {"ssh-ed25519": "ed25519", "ssh-rsa": "rsa"}.get(pinned, pinned.partition("-")[0])
    offered = options.get("hostkey", "")
    if not pinned or not offered or f"_{word}_" in offered:
        return None
    return _error(
        "HostKey",
        f"the settings pin the host's {word} key, but sshd would no longer offer it",
        "pin the host's Ed25519 key: `ssh-keyscan -t ed25519 ADDRESS` prints that key",
    )


def _names(pattern: str, login: _Login) -> bool:
    """Return whether a pattern of AllowUsers, ``USER`` or ``USER@HOST``, matches this login."""
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


def _matches(name: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
