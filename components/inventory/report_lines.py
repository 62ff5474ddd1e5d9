"""How a report tells what the inventory found: one line for each thing, and how a person removes it. Pure."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from portcullis.provider.changes import STAYS, Line, Section, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from portcullis.provider.changes import Change

_SECTIONS: Mapping[str, Section] = {
    "accounts": Section.ACCESS,
    "keys": Section.ACCESS,
    "files": Section.REST,
    "units": Section.REST,
    "programs": Section.ACCESS,
    "packages": Section.REST,
    "kernel": Section.FIREWALL,
    "docker": Section.SITES,
}
"""What each map of the inventory is about."""
_OPENS = ("accounts", "keys", "programs")
"""Maps whose every entry may let somebody in."""
_RUNS = re.compile(
    r"/etc/(cron|profile|bash|environment|ld\.so\.preload|sudoers|pam\.d|ssh/|systemd/|udev/|apt/|rc\.local"
    r"|init\.d|nginx/|hosts\b|modules|modprobe)|/var/spool/(cron|at)|/(root|home/[^/]+)/\.|/usr/local/|/run/systemd/"
)
"""Files that run by themselves, or lead elsewhere."""
_DANGEROUS = re.compile(
    r"\bprivileged\b|\bhost (network|pid|ipc)|docker\.sock|(^|\s|,)/:|macvlan|ipvlan|swarm"
)
_PLACE = re.compile(r"^(?P<user>[a-z_][a-z0-9_-]*\$?) (?P<print>SHA256:[A-Za-z0-9+/=]+)$")


def lines(change: Change) -> list[Line]:
    """Return the lines of an `Inventory`: what nobody declared. Nothing of it is ever deleted."""
    if change.op != "update":
        return [
            Line("inventory", "read from now on" if change.op == "create" else "no longer read", follows=True)
        ]
    found = [
        _line(name, key, str(live), at=(name, key))
        for name in _SECTIONS
        for key, live, _ in change.entries(name)
        if live is not None
    ]
    return found or [Line("inventory", "follows other changes", follows=True)]


def _line(name: str, key: str, text: str, *, at: tuple[str, ...]) -> Line:
    command = _REMOVES[name](key, text)
    remedy = f"{STAYS}; remove it yourself: {command}" if command else STAYS
    opens = name in _OPENS or (name == "docker" and _DANGEROUS.search(text) is not None)
    severity = Severity.OPEN if opens or (name == "files" and _RUNS.match(key)) else Severity.WRONG
    word, _, rest = key.partition(" ")
    topic = f"container {rest}" if name == "docker" and word == "container" else ""
    return Line(key, text, remedy, severity, _SECTIONS[name], at, topic)


def _file(key: str, text: str) -> str:
    # A file of a package, or one that came with the machine, is no stranger: it is put back, not removed.
    if "was:" in text or "content changed" in text or not key.startswith("/"):
        return ""
    return f"{'rm -r' if text.startswith('folder') else 'rm'} {shlex.quote(key)}"


def _account(key: str, text: str) -> str:
    return f"userdel {shlex.quote(key)}" if "was:" not in text and key != "root" else ""


def _key(key: str, text: str) -> str:
    del text
    found = _PLACE.match(key)
    return f"edit the authorized_keys of {found['user']}" if found else ""


def _unit(key: str, text: str) -> str:
    return "" if "was:" in text else f"systemctl disable --now {shlex.quote(key)}"


def _program(key: str, text: str) -> str:
    if not key.startswith("/"):
        return ""
    return f"setcap -r {shlex.quote(key)}" if "capabilit" in text else f"chmod u-s,g-s {shlex.quote(key)}"


def _package(key: str, text: str) -> str:
    del text
    return f"apt-get remove {shlex.quote(key)}" if re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", key) else ""


def _docker(key: str, text: str) -> str:
    del text
    word, _, rest = key.partition(" ")
    commands = {"container": "docker rm -f", "network": "docker network rm", "volume": "docker volume rm"}
    return f"{commands[word]} {shlex.quote(rest)}" if word in commands and rest else ""


_REMOVES: Mapping[str, Callable[[str, str], str]] = {
    "accounts": _account,
    "keys": _key,
    "files": _file,
    "units": _unit,
    "programs": _program,
    "packages": _package,
    "kernel": lambda _key, _text: "",
    "docker": _docker,
}
"""The command that removes an entry, by the map; "" where there is none."""
