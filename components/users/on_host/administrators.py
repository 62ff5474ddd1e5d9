"""Finds and removes undeclared ways to become root: sudo, a group with root's rights, or the user number 0.

A host has one such resource, which declares that no such way exists. A preview has a line for each way.
"""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.agent import disk, paths
from portcullis.agent.claims import Claims
from portcullis.agent.errors import AgentError
from portcullis.agent.guarded import Guarded, Undo
from portcullis.agent.kind import Kind, each
from portcullis.agent.step import Step
from portcullis.components.users.facts import AdministratorsDesired, AdministratorsFacts, AdministratorsSpec
from portcullis.components.users.on_host import accounts, sudoers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from portcullis.agent.guarded import Argv, Peer
    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.machine import Machine
    from portcullis.agent.step import Json
    from portcullis.agent.store import Record, Store
    from portcullis.components.users.on_host.accounts import Account, Directory

GROUPS = {
    # The sudoers of Debian and Ubuntu name the groups sudo and admin. Other systems use the group wheel.
    "sudo": "becomes root by sudo",
    "admin": "becomes root by sudo",
    "wheel": "becomes root by sudo",
    # "The docker group grants root-level privileges": docs.docker.com/engine/install/linux-postinstall.
    "docker": "is root by Docker's socket",
    # "Anyone with access to the LXD socket can fully control LXD": documentation.ubuntu.com/lxd.
    "lxd": "is root by LXD's socket",
    "incus-admin": "is root by Incus' socket",
    # "Mostly equivalent to root access": wiki.debian.org/SystemGroups.
    "disk": "reads and writes raw disks",
}
_SHOWN = 120  # characters of a file's rules in a fact
_NO_GROUP = "nogroup"


@dataclass(frozen=True)
class _Found(AdministratorsFacts):
    """Facts that only the code on the host needs.

    Attributes:
        login_rule: whether the user that deploys has our sudo rule, or a text that describes another file in
            its place.
        primary_groups: each account with the name of its primary group.
        second_roots: accounts other than root with root's number.
    """

    login_rule: bool | str = False
    primary_groups: Mapping[str, str] = field(default_factory=dict)
    second_roots: Mapping[str, Account] = field(default_factory=dict)


class Administrators(
    Guarded[AdministratorsDesired, _Found], Kind[AdministratorsSpec, AdministratorsDesired, _Found]
):
    """The agent's code for resources of the kind `users.administrators`."""

    spec_type = AdministratorsSpec
    desired_type = AdministratorsDesired
    facts_type = AdministratorsFacts

    def __init__(self, machine: Machine, store: Store) -> None:
        """Prepare to read and change the rights of root on a host.

        Args:
            machine: the host, with its accounts and the files of sudo.
            store: the declared resources.
        """
        super().__init__(machine, store)
        self._sudoers = machine.etc / "sudoers"

    def claims(self, record: Record) -> Claims:
        """Claim the files that sudo reads, so that the inventory does not report them.

        This code itself reports each undeclared rule in them.
        """
        read = (self._sudoers, Path(f"{self._sudoers}.d"), *self._fragments())
        return Claims(paths=tuple(map(str, read)))

    def facts(self, questions: Sequence[Question[AdministratorsSpec]]) -> Answers[_Found]:
        return each(lambda spec, _: self._facts(spec), questions)

    def _facts(self, spec: AdministratorsSpec) -> _Found:
        known = accounts.read(self._machine)
        return _Found(
            exists=True,
            undeclared=dict(self._undeclared(spec, known)),
            login_rule=sudoers.rule_state(self._machine, spec.login or "root"),
            primary_groups={a.name: _primary(known, a.gid) for a in known.accounts.values()},
            second_roots={a.name: a for a in _second_roots(known)},
        )

    def _undeclared(self, spec: AdministratorsSpec, known: Directory) -> Iterator[tuple[str, str]]:
        declared = {"root", *spec.users, *([spec.login] if spec.login else [])}
        for group in GROUPS:
            if group not in known.groups:
                continue
            for name in known.groups[group].members:
                if name not in declared:
                    yield f"group {group}: {name}", "member"
            for account in known.accounts.values():
                if account.gid == known.groups[group].gid and account.name not in declared:
                    yield f"group {group}: {account.name}", "member by its primary group"
        for account in _second_roots(known):
            yield f"uid 0: {account.name}", f"a second root, with the shell {account.shell}"
        yield from self._rules(spec)

    def _rules(self, spec: AdministratorsSpec) -> Iterator[tuple[str, str]]:
        found = sudoers.read(self._sudoers)
        for line in sudoers.lines(found[0]) if found else ():
            if not sudoers.is_shipped(line) and line.split()[0] != spec.login:
                yield f"{self._sudoers}: {line}", "rule"
        ours = {str(sudoers.rule_path(self._machine, name)) for name in spec.users}
        for path in self._fragments():
            if str(path) in spec.files:
                continue
            text, status = sudoers.read(path) or ("", None)
            rules = sudoers.lines(text)
            if status is not None and stat.S_ISLNK(status.st_mode):
                rules = ["a symbolic link"]  # sudo follows it, but we do not
            if not rules:
                continue  # sudo ignores a folder or pipe, too
            if str(path) in ours and text == sudoers.rule_text(path.name[len(sudoers.PREFIX) :]):
                continue
            if spec.login and spec.login not in spec.users and _is_only_for(spec.login, rules):
                continue
            value = "; ".join(rules)[:_SHOWN]
            yield str(path), "".join(c if c.isprintable() else "?" for c in value)

    def _fragments(self) -> list[Path]:
        """The files that sudo reads in sudoers.d. sudo ignores names with a dot and names that end with ~."""
        folder = self._machine.etc / "sudoers.d"
        try:
            names = sorted(os.listdir(folder))  # noqa: PTH208 - names are wanted
        except FileNotFoundError:
            return []
        except OSError as error:
            raise disk.unreadable(error, folder) from None
        return [folder / name for name in names if "." not in name and not name.endswith("~")]

    def plan(self, desired: AdministratorsDesired, facts: _Found) -> list[Step]:
        return [
            Step(f"undeclared.{name}", have, "absent", "take away")
            for name, have in sorted(facts.undeclared.items())
        ]

    def preflight(
        self, desired: AdministratorsDesired, facts: _Found, steps: list[Step], peer: Peer | None
    ) -> AgentError | None:
        """Refuse to remove a sudo rule of the user that deploys, unless our own rule for this user exists."""
        login = desired.login or "root"
        if login == "root" or facts.login_rule is True:
            return None
        for step in steps:
            name = step.prop.partition(".")[2]
            if name.startswith("/") and login in step.have.replace(";", " ").split():
                return AgentError(
                    "lock-out",
                    f"the deploy logs in as {login}, and needs {name} to become root",
                    prop="undeclared",
                    hint=f'declare User("{login}", sudo=True), and let this resource depend on it',
                )
        return None

    def undo(self, desired: AdministratorsDesired, facts: _Found, steps: list[Step]) -> Undo | None:
        files, commands = {}, []
        for step in steps:
            name = step.prop.partition(".")[2]
            if name.startswith("/"):
                files[name.partition(": ")[0]] = True
            else:
                commands.append(_restore_command(name, facts))
        return Undo(tuple(files), tuple(commands))

    def undo_removal(self, desired: AdministratorsDesired, record: Record, facts: _Found) -> Undo | None:
        """Return None: a removal only gives rights back, and cannot lock anybody out."""
        return None

    def original(self, item: str, facts: _Found, folder: Path) -> Json:
        """Record the undeclared ways to become root before the first `up`: a delete restores them.

        Ways that appear later are drift.
        """
        given = {
            name: list(_restore_command(name, facts)) for name in facts.undeclared if not name.startswith("/")
        }
        lines = f"{self._sudoers}: "
        files = [name for name in facts.undeclared if name[0] == "/" and not name.startswith(lines)]
        return {
            "type": "administrators",
            "commands": given,
            "lines": [name[len(lines) :] for name in facts.undeclared if name.startswith(lines)],
            "sudoers": paths.keep(self._sudoers, folder / "sudoers"),
            "files": [
                {"path": name, "kept": paths.keep(Path(name), folder / f"file-{number}")}
                for number, name in enumerate(files)
            ],
        }

    def apply(self, desired: AdministratorsDesired, steps: list[Step], work: Work) -> None:
        lines = f"{self._sudoers}: "
        names = [step.prop.partition(".")[2] for step in steps]
        gone = {name[len(lines) :] for name in names if name.startswith(lines)}
        for name in names:
            kind, _, who = name.partition(": ")
            if name.startswith(lines):
                continue
            if name.startswith("/"):
                self._set_aside(Path(name), work)
            elif kind == "uid 0":
                # -f: userdel counts every process of root as a process of this account.
                accounts.change(self._machine, "userdel", "-f", who, prop="undeclared")
            else:
                self._leave_group(who, kind.partition(" ")[2])
        if gone:  # this change comes last: visudo would refuse it while another file is broken
            found = sudoers.read(self._sudoers)
            text = sudoers.without(found[0] if found else "", gone)
            sudoers.install(self._machine, self._sudoers, text, work.folder / "before")

    def _set_aside(self, path: Path, work: Work) -> None:
        """Remove a file and keep a copy of it in our folder, in case somebody needs it later."""
        aside = work.record.extra.setdefault("aside", {})
        copy = work.folder / f"aside-{len(aside)}"
        aside[copy.name] = {"path": str(path), "kept": paths.keep(path, copy)}
        work.save()
        sudoers.take_away(self._machine, path, work.folder / "before")

    def _leave_group(self, name: str, group: str) -> None:
        known = accounts.read(self._machine)
        if name in known.groups[group].members:
            accounts.change(self._machine, "gpasswd", "-d", name, group, prop="undeclared")
        account = known.accounts.get(name)
        if account is not None and account.gid == known.groups[group].gid:
            own = name if name in known.groups and name not in GROUPS else _NO_GROUP
            accounts.change(self._machine, "usermod", "-g", own, name, prop="undeclared")

    def remove(self, desired: AdministratorsDesired, record: Record, folder: Path) -> str:
        kept = record.original
        for number, file in enumerate(kept["files"]):
            path = Path(file["path"])
            if sudoers.read(path) is None:
                paths.put_back(path, file["kept"], folder / f"file-{number}")
        self._restore_lines(kept, folder)
        known = accounts.read(self._machine)
        for name, argv in kept["commands"].items():
            kind, _, who = name.partition(": ")
            if (who in known.accounts) != (kind == "uid 0"):
                with contextlib.suppress(AgentError):  # if the group is gone, the user stays without it
                    accounts.change(self._machine, *argv)
        return "restored"

    def _restore_lines(self, kept: Json, folder: Path) -> None:
        found = sudoers.read(self._sudoers)
        if not kept["lines"] or found is None:
            return
        missing = set(kept["lines"]) - set(sudoers.lines(found[0]))
        with (folder / "sudoers").open(encoding="utf-8", errors="surrogateescape") as stream:
            before = stream.read()
        if missing:
            same = sudoers.lines(sudoers.without(before, missing)) == sudoers.lines(found[0])
            text = before if same else "\n".join([found[0].rstrip("\n"), *sorted(missing), ""])
            sudoers.install(self._machine, self._sudoers, text, folder / "before")


def _second_roots(known: Directory) -> list[Account]:
    return [account for account in known.accounts.values() if account.uid == 0 and account.name != "root"]


def _primary(known: Directory, gid: int) -> str:
    return next((group.name for group in known.groups.values() if group.gid == gid), str(gid))


def _is_only_for(login: str, rules: list[str]) -> bool:
    """Return whether all rules of a file are for this user."""
    return bool(rules) and all(rule.split()[0] == login for rule in rules)


def _restore_command(name: str, facts: _Found) -> Argv:
    """The command that gives back a right that `apply` removes.

    A second account with root's number comes back without its password.
    """
    kind, _, who = name.partition(": ")
    if kind == "uid 0":
        account = facts.second_roots[who]
        return (
            "useradd", "--non-unique", "--uid=0", f"--gid={account.gid}", f"--home-dir={account.home}",
            "--no-create-home", f"--shell={account.shell}", "--password=*", who,
        )  # fmt: skip
    group = kind.partition(" ")[2]
    if facts.primary_groups.get(who) == group:
        return ("usermod", "-g", group, who)
    return ("gpasswd", "-a", who, group)
