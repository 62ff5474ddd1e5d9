"""Reads accounts that can log in or that have rights of root, and the keys that let somebody log in."""

from __future__ import annotations

import base64
import hashlib
import os
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from portcullis.agent import safe_paths
from portcullis.agent.quotes import quoted
from portcullis.components.inventory.on_host.look import Entry, unreadable
from portcullis.components.users.facts import NO_PASSWORD, SHELL
from portcullis.components.users.on_host import accounts, authorized_keys
from portcullis.components.users.on_host.administrators import GROUPS as ADMINISTRATORS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from portcullis.components.inventory.on_host.look import Fix, Fixes, Found, Look
    from portcullis.components.users.on_host.accounts import Account, Directory
    from portcullis.components.users.on_host.authorized_keys import Key

Entries = dict[str, Entry]

LINGER = "var/lib/systemd/linger"
"""The folder below `root` with one file for each account whose services start without a login."""

# The sources are wiki.debian.org/SystemGroups and each group's own documentation.
GROUPS = {
    **ADMINISTRATORS,
    "root": "has the rights of root's group",
    "adm": "reads the system's logs",
    "systemd-journal": "reads the system's logs",
    "shadow": "reads the hashes of all passwords",
    "kmem": "reads the memory of the kernel",
    "kvm": "starts virtual machines",
    "libvirt": "is root by libvirt's socket",
    "ssl-cert": "reads private keys of TLS",
    "staff": "writes to /usr/local, where root's programs are looked for first",
    "netdev": "changes the network",
}
"""Groups with special rights, each with the rights of a member."""

_USERS = "users.users"
_DAY = 86400
_TAIL = 16  # characters of a key that are shown: 96 bits
# The values of all other options of a key may be secret or personal. Only the names of such options are
# shown.
_SHOWN_OPTIONS = ("from", "expiry-time", "permitopen", "permitlisten", "principals", "tunnel")
_OPTIONS = (
    "agent-forwarding", "cert-authority", "command", "environment", "expiry-time", "from",
    "no-agent-forwarding", "no-port-forwarding", "no-pty", "no-touch-required", "no-user-rc",
    "no-x11-forwarding", "permitlisten", "permitopen", "port-forwarding", "principals", "pty", "restrict",
    "tunnel", "user-rc", "verify-required", "x11-forwarding",
)  # fmt: skip
"""The options of sshd(8), AUTHORIZED_KEYS FILE FORMAT, in lower case."""
_FIRST_UID, _NOBODY = 1000, 65534  # Debian Policy, 9.2.2
_QUIET_SHELLS = ("nologin", "false", "sync", "true")
_NO_LOGIN = "/usr/sbin/nologin"
_EXPIRES = 7  # the number of the field in shadow(5)


def read(look: Look) -> Found:
    """Return the accounts, and root's keys."""
    known = accounts.read(look.machine)
    return {
        "accounts": {**_accounts(look, known), **_members(look, known), **_lingering(look)},
        "keys": _keys(look, known, [account for account in known.accounts.values() if account.uid == 0]),
    }


def read_keys(look: Look) -> Found:
    """Return the keys of all accounts but root.

    Accounts without a shell are included, because their keys may open tunnels.
    """
    known = accounts.read(look.machine)
    return {"keys": _keys(look, known, [account for account in known.accounts.values() if account.uid])}


def key_files(look: Look) -> set[str]:
    """Return the paths of all accounts' key files. This reader lists the keys in these files one by one."""
    known, where = accounts.read(look.machine), look.key_places
    return {
        path
        for account in known.accounts.values()
        for path in where.paths(account, _groups_of(known, account))
    }


# Accounts ---------------------------------------------------------------------------------------------------


def _accounts(look: Look, known: Directory) -> Entries:
    tells_roots = _has_administrators(look)
    declared = {record.id: record for record in look.records if record.kind == _USERS}
    expiry = _expiry(look)
    found: Entries = {}
    for account in known.accounts.values():
        name = account.name
        managed: set[str] = set()
        if account.uid == 0 and name != "root" and tells_roots:
            continue  # the resource for administrators reports this account
        is_declared = name in look.claims.users
        usual = ""
        if is_declared:
            record = declared.get(name)
            managed = set(record.spec.get("managed") or ()) if record else managed
            # An account that we created has the usual shell. An account that existed before keeps its own
            # shell.
            usual = str(record.original.get("shell") or SHELL) if record else account.shell
        if _is_changed(account, usual, managed) if is_declared else _can_log_in(account):
            has_one = "password" not in managed and account.password not in (NO_PASSWORD, "empty")
            # A second root may disappear from this list: once administrators are declared, their resource
            # reports it.
            passing = account.uid == 0 and name != "root"
            text = _text(account, known, expiry.get(name, ""), managed)
            # Root's text gets no such ending, so that the text can still equal the text in the baseline.
            text += f", declared with shell {usual}" if is_declared and name != "root" else ""
            found[name] = Entry(
                text,
                _digest(account.secret) if has_one else "",
                passing=passing,
                is_open=True,
                fixes=_fixes(account, _twins(account, known), managed, usual if is_declared else None),
                state={
                    "uid": str(account.uid),
                    "shell": account.shell,
                    "password": "" if "password" in managed else account.password,
                },
            )
    return found


def _fixes(account: Account, twins: Collection[str], managed: set[str], usual: str | None) -> Fixes:
    """Return the fixes of an account: remove it, or mend it if it is declared or came with a package.

    Args:
        account: the account.
        twins: the other accounts with the same uid.
        managed: the properties that another resource mends.
        usual: the usual shell of a declared account, or None if nobody declared the account.
    """
    name = account.name
    is_declared = usual is not None
    if name == "root" or (is_declared and account.uid == 0):
        return ()
    is_packaged = not twins and (0 < account.uid < _FIRST_UID or account.uid == _NOBODY)
    if not is_declared and not is_packaged:
        if twins or account.uid == 0:
            return (("remove-twin", name),)
        return (("remove-account" if _has_other_home(account) else "remove-account-and-home", name),)
    fixes: list[Fix] = []
    if "password" not in managed and account.password != NO_PASSWORD:
        fixes.append(("lock", name))
    if is_declared and usual != account.shell and "shell" not in managed:
        fixes.append(("shell", str(usual), name))
    if not is_declared and account.shell.rpartition("/")[2] not in _QUIET_SHELLS:
        fixes.append(("shell", _NO_LOGIN, name))
    if account.gid == 0:
        fixes.append(("own-group", name))
    return tuple(fixes)


def _is_changed(account: Account, usual: str, managed: set[str]) -> bool:
    """Return whether a declared account differs in a property that its own resource does not read back."""
    has_password = "password" not in managed and account.password != NO_PASSWORD
    has_other_shell = "shell" not in managed and account.shell != usual
    is_roots = account.name != "root" and 0 in (account.uid, account.gid)
    return has_password or has_other_shell or is_roots


def _can_log_in(account: Account) -> bool:
    return accounts.is_shell(account.shell) or account.password != NO_PASSWORD or 0 in (
        account.uid, account.gid,
    )  # fmt: skip


def _text(account: Account, known: Directory, expires: str, managed: Collection[str] = ()) -> str:
    told = [f"uid {account.uid}", f"shell {account.shell}"]
    if "password" not in managed:
        told.append(_password(account))
    if account.gid == 0 and account.uid != 0:
        told.insert(1, "of root's group")
    twins = _twins(account, known)
    if twins and account.uid != 0:
        told.insert(1, f"the same as {', '.join(twins)}")
    if account.uid == 0 and account.name != "root":
        told.insert(0, "is root by its number")
    if _has_other_home(account):
        told.append(f"home {account.home}")
    if expires:
        told.append(f"expires on {expires}")
    return ", ".join(told)


def _twins(account: Account, known: Directory) -> list[str]:
    """Return the other accounts with the same uid."""
    return sorted(
        other.name
        for other in known.accounts.values()
        if other.uid == account.uid and other.name != account.name
    )


def _has_other_home(account: Account) -> bool:
    return str(account.home) not in ("/root", f"/home/{account.name}")


def _password(account: Account) -> str:
    return {NO_PASSWORD: "no password", "empty": "an EMPTY password"}.get(account.password, "a password")


def _managed(look: Look) -> Mapping[str, set[str]]:
    """Return the properties that the resource of each declared account reads back."""
    return {
        record.id: set(record.spec.get("managed") or ()) for record in look.records if record.kind == _USERS
    }


def _has_administrators(look: Look) -> bool:
    return any(record.kind == "users.administrators" for record in look.records)


def _expiry(look: Look) -> Mapping[str, str]:
    """Return, for each account that expires, the day on which it expires: shadow(5)."""
    found = {}
    for fields in _fields(look.machine.etc / "shadow"):
        if len(fields) > _EXPIRES and fields[_EXPIRES].isdecimal():
            day = int(fields[_EXPIRES])
            found[fields[0]] = time.strftime("%Y-%m-%d", time.gmtime(min(day, 10**6) * _DAY))
    return found


def _fields(path: Path) -> list[list[str]]:
    try:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError:
        return []
    return [line.split(":") for line in text.split("\n") if line]


# Groups -----------------------------------------------------------------------------------------------------


def _members(look: Look, known: Directory) -> Entries:
    """Return the members of groups with special rights, without those that other resources report."""
    declared, told_elsewhere = _managed(look), _has_administrators(look)
    found: Entries = {}
    for name, may in GROUPS.items():
        group = known.groups.get(name)
        if group is None or (told_elsewhere and name in ADMINISTRATORS):
            continue
        for member in sorted(set(group.members)):
            if "groups" not in declared.get(member, ()) and member != "root":
                found[f"group {name}: {member}"] = Entry(
                    f"member, {may}", passing=True, is_open=True, fixes=(("leave-group", member, name),)
                )
        for account in known.accounts.values():
            if account.gid == group.gid and account.gid != 0:
                found[f"group {name}: {account.name}"] = Entry(
                    f"member by its primary group, {may}",
                    passing=True,
                    is_open=True,
                    fixes=(("own-group", account.name),),
                )
    for fields in _fields(look.machine.etc / "gshadow"):
        if len(fields) > 1 and fields[0] in GROUPS and fields[1][:1] not in ("", "!", "*"):
            found[f"group {fields[0]}"] = Entry(
                f"has a password: whoever knows it {GROUPS[fields[0]]}",
                mark=_digest(fields[1]),
                is_open=True,
                fixes=(("no-group-password", fields[0]),),
            )
    return found


def _groups_of(known: Directory, account: Account) -> list[str]:
    primary = [group.name for group in known.groups.values() if group.gid == account.gid]
    return [*primary, *known.groups_of(account.name)]


def _lingering(look: Look) -> Entries:
    found: Entries = {}
    try:
        entries = sorted(os.scandir(look.machine.root / LINGER), key=lambda entry: entry.name)
    except OSError:
        return {}
    for entry in entries:
        changed = entry.stat(follow_symlinks=False).st_ctime
        found[f"linger {entry.name}"] = Entry(
            "its services start at boot, without a login",
            changed=changed,
            passing=True,
            fixes=(("no-linger", entry.name),),
        )
    return found


# Keys -------------------------------------------------------------------------------------------------------


def _keys(look: Look, known: Directory, of: Iterable[Account]) -> Entries:
    where = look.key_places
    managed = _managed(look)
    found: Entries = {}
    names: Counter[str] = Counter()
    for account in of:
        if account.name in managed:
            continue  # the resource of the account reads back each key of the account
        for path in where.paths(account, _groups_of(known, account)):
            place = look.machine.root / path.lstrip("/")
            _add(found, names, account.name, path, place)
    return found


def _add(found: Entries, names: Counter[str], owner: str, path: str, place: Path) -> None:
    """Add an entry to `found` for each key in a key file.

    A file may contain a key twice, with different options.
    """
    try:
        text, changed, is_cut = _read(place)
    except OSError as error:
        found[f"{owner} {path}"] = replace(unreadable(error), is_open=True)
        return
    keys = [(line, key) for line in text.split("\n") if (key := authorized_keys.parse(line)) is not None]
    for line, key in keys[: authorized_keys.MOST]:
        name = authorized_keys.numbered(f"{owner} {key.fingerprint}", names)
        # The command deletes each line of the whole file that contains the end of the key.
        end = tail(key)
        is_alone = end in line and text.count(end) == 1 and not is_cut
        found[name] = Entry(
            key_text(key, path),
            _digest(" ".join(key.identity)),
            changed,
            is_open=True,
            fixes=(("remove-key", end, path) if is_alone else ("edit", path),),
            owner=owner if owner != "root" else "",
        )
    left = len(keys) - authorized_keys.MOST
    if is_cut or left > 0:
        told = [f"{left} more keys are not shown"] * (left > 0)
        told += [f"keys after the first {authorized_keys.LIMIT >> 10} KB are not read"] * is_cut
        found[f"{owner} {path}"] = Entry(", ".join(told), changed=changed, is_open=True)


def _read(path: Path) -> tuple[str, float, bool]:
    """Return the text of a key file, the time of its last change, and whether it is longer than `LIMIT`.

    This function follows symbolic links, because sshd does too. Raises OSError. Only lines with keys may be
    shown, because a link may lead to a secret file.
    """
    try:
        fd = safe_paths.open_behind_links(path)
    except (FileNotFoundError, NotADirectoryError):
        fd = None
    if fd is None:
        return "", 0.0, False
    try:
        status = os.fstat(fd)
        data = os.pread(fd, authorized_keys.LIMIT, 0)
        is_cut = status.st_size > len(data)
        return data.decode("utf-8", "surrogateescape"), status.st_ctime, is_cut
    finally:
        os.close(fd)


def key_text(key: Key, path: str) -> str:
    """Return the text of a key: ``ssh-ed25519 …a8RL9CWq "evil@laptop", from="203.0.113.7", in /root/…``."""
    told = [" ".join([key.type, f"…{tail(key)}", *[quoted(key.comment)] * bool(key.comment)])]
    options = [
        (name if name.lower() in _OPTIONS else "an unknown option")
        + (f"={quoted(value)}" if name.lower() in _SHOWN_OPTIONS and value else "")
        for name, value in authorized_keys.named_options(key.options)
    ]
    if "cert-authority" in map(str.lower, options):
        told.insert(0, "lets in every key that it signs")
    return ", ".join([*told, *options, f"in {path}"])


def tail(key: Key) -> str:
    """Return the last characters of a key, which nearly always identify it."""
    data = base64.b64decode(key.blob)
    end = len(data)
    if key.type.startswith("sk-"):
        # The key of a security token ends in the name of an application, which most such keys share:
        # PROTOCOL.u2f.
        at = 0
        while at < len(data):
            end, at = at, at + 4 + int.from_bytes(data[at : at + 4], "big")
    # Cut only between whole groups, because base64 writes three bytes as four characters.
    return key.blob[: end * 4 // 3][-_TAIL:]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
