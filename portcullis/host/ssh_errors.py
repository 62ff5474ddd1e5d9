"""What OpenSSH and sudo say when they refuse, turned into our own errors. Pure text to data.

OpenSSH exits with 255 for failures of its own and for a remote command that exits with 255, so
the text decides. The texts are stable: they have been the same from OpenSSH 7 to 10.
"""

from __future__ import annotations

import re

from portcullis.host.errors import (
    ConnectionFailed,
    HostKeyRefused,
    LoginRefused,
    SudoRefused,
    Unreachable,
)

_CHECK_ADDRESS = "check that it is up, and the address and port that the settings declare for it"

_UNREACHABLE = re.compile(
    r"(?<=connect to host )[^\n]*|Connection refused|timed out"
    r"|Could not resolve hostname[^\n]*|No route to host|Network is unreachable"
    r"|Connection closed by [^\n]*|Connection reset[^\n]*|kex_exchange_identification[^\n]*",
)
_SUDO = re.compile(
    r"sudo: a password is required|[^\n]*is not in the sudoers file[^\n]*|sudo: (?:a terminal|no tty)[^\n]*"
    r"|[^\n]*not allowed to execute[^\n]*|sh: [^\n]*sudo: not found|[^\n]*may not run sudo[^\n]*"
)
_PREVIEW = re.compile(r"^portcullis: ([^\n]*)", re.MULTILINE)
_DENIED = re.compile(r"Permission denied \([^)]*\)|Too many authentication failures")
_NO_IDENTITY = re.compile(r"no such identity: ([^:]+):")


def explain(stderr: str, *, exit_code: int | None) -> ConnectionFailed:
    """Return the error for an ssh process that ended before the agent answered.

    Args:
        stderr: what ssh and the remote side wrote; only its known phrases reach the message.
        exit_code: the ssh client's, None when it was killed.
    """
    if "REMOTE HOST IDENTIFICATION HAS CHANGED" in stderr or "Host key verification failed" in stderr:
        shown = re.search(r"SHA256:[A-Za-z0-9+/]+", stderr)
        return HostKeyRefused(
            "the host key that it shows is not the pinned one"
            + (f" (it shows {shown.group()})" if shown else ""),
            hint="if the host was reinstalled, compare the new key at the provider's console and change "
            "hostKey; if not, somebody may stand in between",
        )
    # The host's own words, before any that sudo or ssh add to them.
    if found := _PREVIEW.search(stderr):
        return LoginRefused(
            f"the login works with the preview key, and the host says: {found.group(1)}",
            hint="`up` needs the deploy key; docs/previews.md says what a preview needs",
        )
    if found := _SUDO.search(stderr):
        return SudoRefused(
            f"the login works, but sudo refuses: {found.group().strip()}",
            hint="the login user must be root or may run everything with `sudo -n` (NOPASSWD)",
        )
    if found := _DENIED.search(stderr):
        missing = _NO_IDENTITY.search(stderr)
        return LoginRefused(
            f"no key of ours is accepted: {found.group()}"
            + (f"; {missing.group(1)} does not exist" if missing else ""),
            hint="put the right key in the ssh agent or name it as identityFile, and check the user",
        )
    if found := _UNREACHABLE.search(stderr):
        return Unreachable(f"not reachable: {found.group().strip()}", hint=_CHECK_ADDRESS)
    said = stderr.strip().splitlines()
    tail = f": {said[-1]}" if said else ""
    return ConnectionFailed(
        f"the connection ended early (ssh exit code {exit_code}){tail}", hint=_CHECK_ADDRESS
    )
