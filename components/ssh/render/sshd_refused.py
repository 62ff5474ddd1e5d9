"""Options of sshd_config that the settings may not set, so that a key stays the only way to log in.

sshd ignores the case of keywords, and so does this module.
"""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING

from portcullis.components.tunnels.render import tunnel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# Options that have a setting of their own or are not supported, each with what to do instead.
_ELSEWHERE = {
    "port": "write port of the host: the firewall and the connection follow it",
    "permitrootlogin": "write rootLogin beside options",
    "include": "leave it out: our file cannot include other files",
    "match": "leave it out: it would change every line after it",
}
# Ways to log in without a key. The last three are older or related names that sshd still knows (servconf.c).
_NEVER = {
    "passwordauthentication": "attackers guess passwords all day long",
    "kbdinteractiveauthentication": "with PAM it asks for a password too",
    "permitemptypasswords": "sshd would ask for nothing",
    "hostbasedauthentication": "another machine would vouch for its users",
    "gssapiauthentication": "a Kerberos ticket would be enough",
    "challengeresponseauthentication": "with PAM it asks for a password too",
    "skeyauthentication": "with PAM it asks for a password too",
    "kerberosauthentication": "a Kerberos password would be enough",
}


def refusals(options: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield each option that cannot be set, with the reason and what to do.

    Args:
        options: keyword to value. The case of a keyword does not matter.
    """
    seen: dict[str, str] = {}
    for name, value in options.items():
        known = name.lower()
        if known in seen:
            yield name, f"is the same option as {seen[known]}", "keep one of the two"
        seen[known] = name
        if known in _ELSEWHERE:
            yield name, "cannot be set here", _ELSEWHERE[known]
        elif known in _NEVER and value.lower() != "no":
            yield name, f"allows a login without a key: {_NEVER[known]}", "leave it out"
        elif known == "authenticationmethods" and not _wants_a_key(value):
            how = "name publickey in each alternative, such as publickey,publickey for two keys"
            yield name, "has an alternative that allows a login without a key", how


def shuts_out(options: Mapping[str, str], accounts: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Yield each option that refuses an account for tunnels or previews.

    Args:
        options: keyword to value. The case of a keyword does not matter.
        accounts: names of the accounts. Each is in one group only, which has the same name.
    """
    for name, value in options.items():
        known, patterns = name.lower(), [pattern.partition("@")[0] for pattern in value.split()]
        if known not in ("allowusers", "allowgroups", "denyusers", "denygroups"):
            continue
        for account in accounts:
            named = any(fnmatch.fnmatchcase(account, pattern) for pattern in patterns)
            if named != known.startswith("allow"):
                is_tunnel = account.startswith(tunnel.PREFIX)
                add = f"add {tunnel.PREFIX if is_tunnel else account}{'*' if is_tunnel else ''}"
                purpose = "tunnel" if is_tunnel else "preview"
                how = add if known.startswith("allow") else "leave it out"
                yield name, f"refuses {account}, which is declared to {purpose}", how
                break


def _wants_a_key(methods: str) -> bool:
    """Whether each alternative has publickey: spaces separate alternatives, commas the methods of one."""
    alternatives = [alternative.split(",") for alternative in methods.split()]
    return bool(alternatives) and all("publickey" in alternative for alternative in alternatives)
