"""Options of sshd_config that the settings may not set, so that a key stays the only way to log in.

Like sshd, this module ignores the case of keywords.
"""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING

from portcullis.components.tunnels.render import tunnel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# Options that have a setting of their own or that we do not support, each with a hint.
_ELSEWHERE = {
    "port": "set the port of the host, which the firewall and the connection also use",
    "permitrootlogin": "set rootLogin beside options",
    "include": "remove this option: our file cannot include other files",
    "match": "remove this option: a Match would change the meaning of every line after it",
}
_ASKS = "with PAM, this option also asks for a password"
# Ways to log in without a key. The last three options are older or related names that sshd still accepts
# (servconf.c).
_NEVER = {
    "passwordauthentication": "attackers guess passwords all day long",
    "kbdinteractiveauthentication": _ASKS,
    "permitemptypasswords": "sshd would let in users whose password is empty",
    "hostbasedauthentication": "another machine would vouch for its users",
    "gssapiauthentication": "a Kerberos ticket would be enough",
    "challengeresponseauthentication": _ASKS,
    "skeyauthentication": _ASKS,
    "kerberosauthentication": "a Kerberos password would be enough",
}


def refusals(options: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield each option that the settings may not set, with the reason and a hint.

    Args:
        options: keyword to value. The case of a keyword does not matter.
    """
    seen: dict[str, str] = {}
    for name, value in options.items():
        known = name.lower()
        if known in seen:
            yield name, f"is the same option as {seen[known]}", "keep one of the two options"
        seen[known] = name
        if known in _ELSEWHERE:
            yield name, "cannot be set here", _ELSEWHERE[known]
        elif known in _NEVER and value.lower() != "no":
            yield name, f"allows a login without a key: {_NEVER[known]}", "remove this option"
        elif known == "authenticationmethods" and not _wants_a_key(value):
            how = "name publickey in each alternative, such as publickey,publickey for two keys"
            yield name, "has an alternative that allows a login without a key", how


def shuts_out(options: Mapping[str, str], accounts: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Yield each option that refuses an account for tunnels or previews.

    Args:
        options: keyword to value. The case of a keyword does not matter.
        accounts: names of the accounts. Each account is in one group only, which has the account's name.
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
                how = add if known.startswith("allow") else "remove the pattern"
                yield name, f"refuses {account}, which is declared to {purpose}", how
                break


def _wants_a_key(methods: str) -> bool:
    """Return whether each alternative in a value of AuthenticationMethods has publickey.

    Spaces separate alternatives, commas separate methods.
    """
    alternatives = [alternative.split(",") for alternative in methods.split()]
    return bool(alternatives) and all("publickey" in alternative for alternative in alternatives)
