"""Turns the messages of OpenSSH and sudo into our own errors. The functions do no I/O.

OpenSSH exits with 255 for its own failures, and also if the remote command exits with 255. So only the text
shows the cause. The texts are stable: they are the same in OpenSSH 7 to 10.
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

_CHECK_ADDRESS = "check that the host is up, and check its address and port in the settings"

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
_OLD_PYTHON = re.compile(r"^the host has Python [0-9.]+, [^\n]*", re.MULTILINE)
_DENIED = re.compile(r"Permission denied \([^)]*\)|Too many authentication failures")
_NO_IDENTITY = re.compile(r"no such identity: ([^:]+):")


def explain(stderr: str, *, exit_code: int | None) -> ConnectionFailed:  # noqa: PLR0911 - one per cause
    """Return the error for an ssh process that ended before the agent answered.

    Args:
        stderr: the standard error of ssh and of the remote command. The message quotes only known phrases.
        exit_code: the exit code of ssh, or None if it still runs.
    """
    if "REMOTE HOST IDENTIFICATION HAS CHANGED" in stderr or "Host key verification failed" in stderr:
        shown = re.search(r"SHA256:[A-Za-z0-9+/]+", stderr)
        return HostKeyRefused(
            "the host shows another host key than the pinned one"
            + (f" (it shows {shown.group()})" if shown else ""),
            hint="if you reinstalled the host, compare the new key with your provider's console and change "
            "hostKey; if not, somebody may intercept the connection",
        )
    # Our own message comes before the messages that sudo or ssh add.
    if found := _PREVIEW.search(stderr):
        return LoginRefused(
            f"the login with the preview key works, but the host says: {found.group(1)}",
            hint="`up` needs the deploy key; docs/previews.md says what a preview needs",
        )
    if found := _OLD_PYTHON.search(stderr):
        return ConnectionFailed(
            found.group(), hint="upgrade the host to Debian 12, Ubuntu 22.04 or a later release"
        )
    if found := _SUDO.search(stderr):
        return SudoRefused(
            f"the login works, but sudo refuses: {found.group().strip()}",
            hint="log in as root, or as a user that may run everything with `sudo -n` (NOPASSWD)",
        )
    if found := _DENIED.search(stderr):
        missing = _NO_IDENTITY.search(stderr)
        return LoginRefused(
            f"the host accepts none of our keys: {found.group()}"
            + (f"; {missing.group(1)} does not exist" if missing else ""),
            hint="add the right key to the ssh-agent or set identityFile, and check the user",
        )
    if found := _UNREACHABLE.search(stderr):
        return Unreachable(f"not reachable: {found.group().strip()}", hint=_CHECK_ADDRESS)
    said = stderr.strip().splitlines()
    tail = f": {said[-1]}" if said else ""
    return ConnectionFailed(
        f"the connection ended early (ssh exit code {exit_code}){tail}", hint=_CHECK_ADDRESS
    )
