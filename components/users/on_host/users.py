"""Users: their keys, their right to become root, their shell and their groups."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.agent import disk, paths
from portcullis.agent.claims import Claims
from portcullis.agent.errors import AgentError
from portcullis.agent.guarded import Guarded, Undo
from portcullis.agent.kind import Kind, each
from portcullis.components.users.facts import (
    CURRENT,
    MEMBER,
    NO_PASSWORD,
    OPTIONAL,
    PRIVATE,
    SHELL,
    UserDesired,
    UserFacts,
    UserSpec,
)
from portcullis.components.users.on_host import accounts, authorized_keys, key_files, sudoers, user_steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portcullis.agent.guarded import Argv, Peer
    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.step import Json, Step
    from portcullis.agent.store import Record
    from portcullis.components.users.on_host.accounts import Account, Directory

_ROOT = "root"
_FINGERPRINT = "SHA256:"
_OLD = "from before the keys changed"
_ENDING = "ending"
_MADE = "made"
# This shell command runs another command only if the file exists that we write after useradd. If somebody
# else creates the account after our read, useradd fails, and the undo must not delete that account.
_IF_MADE = '[ ! -e "$0" ] || exec "$@"'
_END_LIMIT = 10.0  # seconds in which the sessions of a removed user must end
_NUMBERS = range(1000, 60000)  # user numbers for people, by login.defs of Debian and Ubuntu


@dataclass(frozen=True)
class _Found(UserFacts):
    """Facts that only the code on the host needs.

    Attributes:
        uid: the account's number; -1 without an account.
        login_shell: the account's shell, managed or not.
        member_of: the account's supplementary groups, managed or not.
        let_in: the keys that sshd accepts, without options and comments.
        keepable: the files with keys that the agent can save and restore.
        obstacle: a fault that a person must correct first; "" if there is none.
        home_uid: the number of the owner of a home that a former account of this name left; None without such
            a home.
    """

    uid: int = -1
    login_shell: str = ""
    member_of: tuple[str, ...] = ()
    let_in: tuple[str, ...] = ()
    keepable: tuple[str, ...] = ()
    obstacle: str = ""
    home_uid: int | None = None


class Users(Guarded[UserDesired, _Found], Kind[UserSpec, UserDesired, _Found]):
    """The agent's code for resources of the kind `users.users`."""

    spec_type = UserSpec
    desired_type = UserDesired
    facts_type = UserFacts

    def claims(self, record: Record) -> Claims:
        """Claim the home and the files with keys and the sudo rule.

        The inventory then does not report them.
        """
        home = Path("/root") if record.id == _ROOT else self._machine.homes / record.id
        mine = (home, home / ".ssh", home / ".ssh" / "authorized_keys")
        rule = sudoers.rule_path(self._machine, record.id)
        return Claims(paths=tuple(map(str, (*mine, rule))), users=(record.id,))

    def facts(self, questions: Sequence[Question[UserSpec]]) -> Answers[_Found]:
        try:
            known = accounts.read(self._machine)
        except AgentError as error:
            return [error] * len(questions)
        return each(lambda spec, record: self._facts(spec, known, record), questions)

    def _facts(self, spec: UserSpec, known: Directory, record: Record | None = None) -> _Found:
        name = spec.user
        account = known.accounts.get(name)
        if account is None:
            return self._former_home(name, known)
        state = key_files.look(account, key_files.locations(self._machine, name, account.uid, account.home))
        member_of = tuple(known.groups_of(name))
        live: Json = {
            "groups": dict.fromkeys(member_of, MEMBER),
            "password": account.password,
            "sessions": _OLD if record and record.extra.get(_ENDING) else CURRENT,
            "shell": account.shell,
            "sudo": sudoers.rule_state(self._machine, name),
        }
        return _Found(
            exists=True,
            keys=authorized_keys.read_back(spec.keys, state.texts, state.first),
            key_files=state.fault or PRIVATE,
            **{prop: live[prop] for prop in OPTIONAL if prop in spec.managed},
            uid=account.uid,
            login_shell=account.shell,
            member_of=member_of,
            let_in=tuple(
                key.blob for text in state.texts.values() for key in authorized_keys.parse_all(text)
            ),
            keepable=tuple(str(path) for path in state.keepable),
            obstacle=state.obstacle,
        )

    def _former_home(self, name: str, known: Directory) -> _Found:
        """Look for the home of a former account of this name.

        A new account gets the number of the home's owner.
        """
        home = self._machine.homes / name
        with disk.reading(home) as place:
            status = place.look()
        if status is None:
            return _Found(exists=False)
        if status.st_uid in {account.uid for account in known.accounts.values()}:
            owner = paths.user_name(status.st_uid)
            return _Found(exists=False, obstacle=f"the folder {home} already exists and belongs to {owner}")
        return _Found(exists=False, home_uid=status.st_uid)

    def plan(self, desired: UserDesired, facts: _Found) -> list[Step]:
        return user_steps.steps(desired, facts)

    def obstacle(self, desired: UserDesired, facts: _Found) -> AgentError | None:
        if facts.obstacle and (desired.keys or not facts.exists):
            return AgentError(
                "invalid", facts.obstacle, prop="keys", hint="correct this on the host, then run `up` again"
            )
        return None

    def is_unmodified_default(self, item: str, facts: _Found) -> bool:
        """Return whether nobody uses the account.

        A key counts as use, because somebody logs in with this key, perhaps Portcullis itself. For root,
        return whether each undeclared key is also a declared key of another user. Usually, the key of the
        first login is such a key.
        """
        if item == _ROOT:
            others = [line for name, line in facts.keys.items() if name.startswith(_FINGERPRINT)]
            return {key.blob for key in map(authorized_keys.parse, others) if key} <= self._declared_keys()
        return (
            not facts.keys
            and facts.key_files == PRIVATE
            and facts.password in (None, NO_PASSWORD)
            and facts.sudo in (None, False)
            and not facts.member_of
            and accounts.is_shell(facts.login_shell)
        )

    def _declared_keys(self) -> set[str]:
        """The keys of all users that resources declare on this host."""
        lines = [
            line
            for record in self._store.all()
            if record.kind == "users.users"
            for line in dict(record.spec.get("keys", {})).values()
        ]
        return {key.blob for key in map(authorized_keys.parse, lines) if key}

    def keep_instead(self, item: str) -> str:
        return f"declare the key under `keys` of the user {item} to keep it, or "

    def preflight(
        self, desired: UserDesired, facts: _Found, steps: list[Step], peer: Peer | None
    ) -> AgentError | None:
        """Refuse a change that takes key, shell or sudo from the user that deploys: nobody could undo it."""
        name = desired.user
        if desired.login != name:
            return None
        prop = why = ""
        if not desired.keys:
            prop, why = "keys", "this user would have no key any more"
        elif desired.shell and not accounts.is_shell(desired.shell):
            prop, why = "shell", f"{desired.shell} refuses every login"
        elif desired.sudo is False and facts.uid != 0:
            if any(step.prop in ("sudo", "user") for step in steps):
                prop, why = "sudo", "this user could not become root any more"
        elif any("symbolic link" in step.have for step in steps if step.prop == "key_files"):
            prop, why = (
                "key_files",
                f"{facts.key_files}: an undo could not restore that link, so replace the link yourself",
            )
        if not why:
            return None
        return AgentError(
            "lock-out", f"the deploy logs in as {name}, and {why}", prop=prop,
            hint="deploy as another user first (`user` of the host), then change this one",
        )  # fmt: skip

    def undo(self, desired: UserDesired, facts: _Found, steps: list[Step]) -> Undo | None:
        """Return the undo.

        A change that only gives access needs no undo, except for the user that deploys.
        """
        name = desired.user
        if desired.login != name and not any(map(user_steps.can_lock_out, steps)):
            return None
        rule = str(sudoers.rule_path(self._machine, name))
        if not facts.exists:
            # -f: the user may have processes from the login that confirms. A home from before stays.
            home = [] if facts.home_uid is not None else ["-r"]
            note = str(self._store.folder("users.users", name) / _MADE)
            return Undo((rule,), (("sh", "-c", _IF_MADE, note, "userdel", "-f", *home, name),))
        commands: list[Argv] = []
        if any(step.prop == "shell" for step in steps):
            commands.append(("usermod", "-s", facts.login_shell, name))
        if ("password", "set") in [(step.prop, step.have) for step in steps]:
            commands.append(("usermod", "-U", name))
        for step in steps:
            if step.action == "groups":
                back = "-d" if step.have == "absent" else "-a"
                commands.append(("gpasswd", back, name, step.prop.partition(".")[2]))
        return Undo((*facts.keepable, rule), tuple(commands))

    def undo_removal(self, desired: UserDesired, record: Record, facts: _Found) -> Undo | None:
        if not facts.exists or _keeps_login_user(desired, record):
            return None
        name, rule = record.id, str(sudoers.rule_path(self._machine, record.id))
        commands: list[Argv] = [("usermod", "-s", facts.login_shell, name)]
        if _deletes_account(desired, record):
            account = accounts.read(self._machine).accounts[name]
            groups = [f"--groups={','.join(facts.member_of)}"] if facts.member_of else []
            commands = [
                ("groupadd", f"--gid={account.gid}", name),
                (
                    "useradd", f"--uid={account.uid}", f"--gid={account.gid}", f"--home-dir={account.home}",
                    "--no-create-home", f"--shell={account.shell}", "--password=*", *groups, name,
                ),
            ]  # fmt: skip
        commands += [("gpasswd", "-a", name, group) for group in facts.member_of]
        return Undo((*facts.keepable, rule), tuple(commands))

    def original(self, item: str, facts: _Found, folder: Path) -> Json:
        rule = paths.keep(sudoers.rule_path(self._machine, item), folder / "sudoers")
        if not facts.exists:
            return {"type": "absent", "sudoers": rule, "files": [], "let_in": []}
        files = [
            {"path": path, "kept": paths.keep(Path(path), folder / f"keys-{number}")}
            for number, path in enumerate(facts.keepable)
        ]
        return {
            "type": "user", "sudoers": rule, "files": files, "let_in": [*facts.let_in],
            "shell": facts.login_shell, "groups": [*facts.member_of],
        }  # fmt: skip

    def apply(self, desired: UserDesired, steps: list[Step], work: Work) -> None:
        """Create the account if needed, then write the keys, and only then change the rest."""
        name = desired.user
        if steps and steps[0].action == "create":
            self._create(desired, work.folder / _MADE)
            facts = self._facts(desired.spec(), accounts.read(self._machine))
            refusal = self.obstacle(desired, facts)
            if refusal:
                raise refusal
            steps = self.plan(desired, facts)
        account = accounts.read(self._machine).accounts[name]
        ending = _may_end_sessions(desired) and any(
            step.action == "end" or (step.action == "keys" and user_steps.can_lock_out(step))
            for step in steps
        )
        if ending:
            # Record this before the keys change: after an interrupted deploy, the next deploy ends the
            # sessions.
            work.record.extra[_ENDING] = True
            work.save()
        if any(step.action == "keys" for step in steps):
            where = key_files.locations(self._machine, name, account.uid, account.home)
            written = {*work.record.extra.get("files", ()), *map(str, where)}
            work.record.extra["files"] = sorted(written)
            work.save()
            text = authorized_keys.render(desired.keys, f'User "{name}"')
            key_files.write(account, key_files.look(account, where), text)
        self._set(name, desired, steps, work)
        if ending:
            accounts.end_sessions(self._machine, account)
            del work.record.extra[_ENDING]

    def _set(self, name: str, desired: UserDesired, steps: list[Step], work: Work) -> None:
        """Change everything except the keys."""
        for step in steps:
            if step.prop == "sudo":
                self._set_sudo(name, wanted=bool(desired.sudo), folder=work.folder)
            elif step.prop == "shell":
                self._set_shell(name, desired.shell or SHELL)
            elif step.prop == "password":
                self._disable_password(name, step.have, work)
            elif step.action == "groups":
                how = "-d" if step.want == "absent" else "-a"
                group = step.prop.partition(".")[2]
                if group not in accounts.read(self._machine).groups:
                    # If a package such as docker.io needs this group later, the package uses the existing
                    # group.
                    accounts.change(self._machine, "groupadd", "--system", group, prop="groups")
                accounts.change(self._machine, "gpasswd", how, name, group, prop="groups")

    def _create(self, desired: UserDesired, note: Path) -> None:
        """Create the account, and then the file `note`, which tells the undo that we created the account."""
        paths.remove_file(note)
        name = desired.user
        known = accounts.read(self._machine)
        number = self._former_home(name, known).home_uid
        if number is None and not desired.system:
            number = self._number_of_its_own(known)
        shell = desired.shell or SHELL
        _must_exist(shell)
        options = [
            "--create-home", f"--home-dir={self._machine.homes / name}", f"--shell={shell}",
            # The default would be `!`. sshd without PAM treats an account with `!` as locked.
            "--password=*",
        ]  # fmt: skip
        if desired.system:
            options.append("--system")
        if number is not None:
            options.append(f"--uid={number}")
        options.append(f"--gid={name}" if name in known.groups else "--user-group")
        accounts.change(self._machine, "useradd", *options, name)
        disk.write(note, b"", mode=0o600)

    def _number_of_its_own(self, known: Directory) -> int | None:
        """Return a free number for a new account, or None if useradd may choose the number.

        useradd could choose the number of a former user whose home still exists. A new user with that number
        would own the files of the former user.
        """
        taken = {account.uid for account in known.accounts.values()}
        owners = {path.lstat().st_uid for path in self._machine.homes.glob("*")}
        if owners <= taken:
            return None
        highest: int = max(uid for uid in {_NUMBERS[0], *taken, *owners} if uid in _NUMBERS)
        return highest + 1

    def _set_sudo(self, name: str, *, wanted: bool, folder: Path) -> None:
        path = sudoers.rule_path(self._machine, name)
        if wanted:
            text = sudoers.rule_text(name)
            sudoers.install(self._machine, path, text, folder / "sudoers-before")
        else:
            sudoers.take_away(self._machine, path, folder / "sudoers-before")

    def _set_shell(self, name: str, shell: str) -> None:
        _must_exist(shell)
        accounts.change(self._machine, "usermod", "-s", shell, name, prop="shell")

    def _disable_password(self, name: str, have: str, work: Work) -> None:
        if have == "empty":
            accounts.change(self._machine, "usermod", "-p", "*", name, prop="password")
            return
        work.record.extra["locked"] = True
        work.save()
        accounts.change(self._machine, "usermod", "-L", name, prop="password")

    def remove(self, desired: UserDesired, record: Record, folder: Path) -> str:
        """Restore the access that the user had before the first `up`.

        The home stays, and so does the user that deploys.
        """
        name = record.id
        account = accounts.read(self._machine).accounts.get(name)
        if account is not None and _keeps_login_user(desired, record):
            return "kept"
        rule = sudoers.rule_path(self._machine, name)
        if record.original["sudoers"]["type"] != "absent":
            paths.put_back(rule, record.original["sudoers"], folder / "sudoers")
        elif account is None or desired.login != name:
            paths.remove_file(rule)
        if account is None:
            return "absent"
        kept = {
            file["path"]: (file["kept"], folder / f"keys-{n}")
            for n, file in enumerate(record.original["files"])
        }
        for path in record.extra.get("files") or []:
            key_files.put_back(account, Path(path), *kept.get(path, ({"type": "absent"}, folder)))
        if _may_end_sessions(desired):
            accounts.end_sessions(self._machine, account)
        if record.original["type"] == "user":
            self._restore(desired, record, account)
            return "restored"
        if _deletes_account(desired, record):
            self._delete(name)
            return "removed"
        return "kept"

    def _restore(self, desired: UserDesired, record: Record, account: Account) -> None:
        name, kept = record.id, record.original
        if desired.shell and kept["shell"] != account.shell:
            accounts.change(self._machine, "usermod", "-s", kept["shell"], name)
        if record.extra.get("locked") and len(account.secret) > 1 and account.secret[0] == "!":
            accounts.change(self._machine, "usermod", "-U", name)
        if desired.groups is None:
            return
        known = accounts.read(self._machine)
        have, want = set(known.groups_of(name)), set(kept["groups"]) & set(known.groups)
        for how, groups in (("-a", want - have), ("-d", have - want)):
            for group in sorted(groups):
                accounts.change(self._machine, "gpasswd", how, name, group)

    def _delete(self, name: str) -> None:
        """Delete the account, but not its home (no -r), because we do not delete the files of a person."""
        self._machine.run(["loginctl", "terminate-user", name], timeout=_END_LIMIT)
        deadline = time.monotonic() + _END_LIMIT
        while True:
            try:
                return accounts.change(self._machine, "userdel", name)
            except AgentError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(self._machine.settle)


def _may_end_sessions(desired: UserDesired) -> bool:
    """Return whether we may end sessions of the account. We never end sessions of the user that deploys."""
    return desired.sessions is not None and desired.login != desired.user


def _keeps_login_user(desired: UserDesired, record: Record) -> bool:
    """Return whether this is the user that deploys, and the former keys would not let this user in.

    A destroy removes other resources after this one, and still logs in as this user.
    """
    declared = {key.blob for key in map(authorized_keys.parse, desired.keys.values()) if key}
    return desired.login == record.id and not declared & set(record.original["let_in"])


def _deletes_account(desired: UserDesired, record: Record) -> bool:
    made = record.original["type"] == "absent"
    return made and desired.on_delete == "remove" and desired.login != record.id


def _must_exist(shell: str) -> None:
    if not Path(shell).exists():
        raise AgentError(
            "invalid", f"the shell {shell} does not exist on the host", prop="shell",
            hint="add the package that provides this shell to the `depends_on` of the user",
        )  # fmt: skip
