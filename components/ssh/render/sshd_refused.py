"""Options of sshd_config that nobody may set here, so that a key stays the one way in.

sshd compares keywords without regard to case, and so does this.
"""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING

from portcullis.components.tunnels.render import tunnel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# Options that are somebody else's, and where to say them.
_ELSEWHERE = {
    "port": "write port of the host: the firewall and the connection follow it",
    "permitrootlogin": "write rootLogin beside options",
    "include": "files beside ours are shown as they are; one of ours cannot bring in others",
    "match": "it would hold for all that follows it",
}
# Other ways in than a key. The last three are older names and relatives that sshd still knows (servconf.c).
_NEVER = {
    "passwordauthentication": "passwords are guessed all day long",
    "kbdinteractiveauthentication": "under PAM it asks for a password too",
    "permitemptypasswords": "nothing would be asked for at all",
    "hostbasedauthentication": "another machine would vouch for its users",
    "gssapiauthentication": "a Kerberos ticket would do",
    "challengeresponseauthentication": "under PAM it asks for a password too",
    "skeyauthentication": "under PAM it asks for a password too",
    "kerberosauthentication": "a Kerberos password would do",
}


def refusals(options: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield each option that cannot be set, with the reason and what to do.

    Args:
        options: keyword to value, in whatever case.
    """
    seen: dict[str, str] = {}
    for name, value in options.items():
        known = name.lower()
        if known in seen:
            yield name, f"is the same option as {seen[known]}", "keep one of the two"
        seen[known] = name
        if known in _ELSEWHERE:
            yield name, "is not an option to set here", _ELSEWHERE[known]
        elif known in _NEVER and value.lower() != "no":
            yield name, f"opens a way in beside keys: {_NEVER[known]}", "leave it out"
        elif known == "authenticationmethods" and not _wants_a_key(value):
            how = "name publickey in each, such as publickey,publickey for two keys"
            yield name, "has an alternative that lets in without a key", how


def shuts_out(options: Mapping[str, str], accounts: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Yield each option that refuses an account for tunnels or previews, whose one group has its own name.

    Args:
        options: keyword to value, in whatever case.
        accounts: names of the accounts.
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
    """Alternatives stand apart by spaces, the methods that one needs by commas (sshd_config(5))."""
    alternatives = [alternative.split(",") for alternative in methods.split()]
    return bool(alternatives) and all("publickey" in alternative for alternative in alternatives)
