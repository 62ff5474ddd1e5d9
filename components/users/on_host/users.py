"""Users: the keys that let them in, whether they may become root, their shell and groups."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.agent import disk, paths
from portcullis.agent.errors import HostError
from portcullis.agent.guarded import Guarded, Undo
from portcullis.agent.kind import Kind
from portcullis.agent.step import Json
from portcullis.components.users.on_host import accounts, authorized_keys, key_files, sudoers, user_steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portcullis.agent.guarded import Argv, Peer
    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.step import Step
    from portcullis.agent.store import Record
    from portcullis.components.users.on_host.accounts import Account, Directory

MEMBER = "member"
CURRENT = "current"
MANAGED = ("groups", "password", "sessions", "shell", "sudo")
"""What may be left out of what is declared, and is then left alone."""
_OLD = "from before the keys changed"
_ENDING = "ending"
_MADE = "made"
# Somebody may make an account of that name between our look and ours, or have hidden one from it: useradd
# refuses then, and what is undone is not theirs.
_IF_MADE = '[ ! -e "$0" ] || exec "$@"'
_LEAVING = 10.0  # seconds for the sessions of a user who is removed to end
_NUMBERS = range(1000, 60000)  # what Debian's and Ubuntu's login.defs gives to people


class Users(Guarded[Json, Json], Kind[Json, Json, Json]):
    """The kind ``user``.

    Everything but the keys may be left out of what is declared, and is then left alone.
    """

    def spec(self, item: str, desired: Json) -> Json:
        managed = [key for key in MANAGED if desired.get(key) is not None]
        return {"user": item, "keys": desired.get("keys") or {}, "managed": managed}

    def facts(self, questions: Sequence[Question[Json]]) -> Answers[Json]:
        try:
            known = accounts.read(self._machine)
        except HostError as error:
            return [error] * len(questions)
        answers: Answers[Json] = []
        for spec, record in questions:
            try:
                answers.append(self._facts(spec, known, record))
            except HostError as error:
                answers.append(error)
        return answers

    def _facts(self, spec: Json, known: Directory, record: Record | None = None) -> Json:
        name = str(spec["user"])
        account = known.accounts.get(name)
        if account is None:
            return {"exists": False, **self._former_home(name, known)}
        state = key_files.look(account, key_files.locations(self._machine, name, account.uid, account.home))
        member_of = known.groups_of(name)
        facts: Json = {
            "exists": True,
            "keys": authorized_keys.read_back(spec["keys"], state.texts, state.first),
            "key_files": state.fault or key_files.PRIVATE,
            "password": account.password,
            "shell": account.shell,
            "groups": dict.fromkeys(member_of, MEMBER),
            "sudo": sudoers.rule_state(self._machine, name),
            "sessions": _OLD if record and record.extra.get(_ENDING) else CURRENT,
        }
        for key in MANAGED:
            if key not in spec["managed"]:
                del facts[key]
        return {
            **facts,
            "_uid": account.uid,
            "_shell": account.shell,
            "_groups": member_of,
            "_obstacle": state.obstacle,
            "_let_in": [key.blob for text in state.texts.values() for key in authorized_keys.parse_all(text)],
            "_keepable": [str(path) for path in state.keepable],
        }

    def _former_home(self, name: str, known: Directory) -> Json:
        """A home that is left of an account of this name: a new one takes over its number with it."""
        home = self._machine.homes / name
        with disk.reading(home) as place:
            status = place.look()
        if status is None:
            return {"_home_uid": None, "_obstacle": ""}
        if status.st_uid in {account.uid for account in known.accounts.values()}:
            owner = paths.user_name(status.st_uid)
            return {"_home_uid": None, "_obstacle": f"there is a {home} already, which belongs to {owner}"}
        return {"_home_uid": status.st_uid, "_obstacle": ""}

    def plan(self, desired: Json, facts: Json) -> list[Step]:
        return user_steps.steps(desired, facts)

    def obstacle(self, desired: Json, facts: Json) -> HostError | None:
        if facts["_obstacle"] and (desired["keys"] or not facts["exists"]):
            return HostError(
                "invalid", facts["_obstacle"], prop="keys", hint="put that right on the host, then run again"
            )
        return None

    def is_unmodified_default(self, item: str, facts: Json) -> bool:
        """One that nobody logs in to; a key that is there lets somebody in, perhaps us."""
        return (
            not facts["keys"]
            and facts["key_files"] == key_files.PRIVATE
            and facts.get("password", "none") == "none"
            and facts.get("sudo", False) is False
            and not facts["_groups"]
            and accounts.is_shell(facts["_shell"])
        )

    def preflight(
        self,
        desired: Json,
        facts: Json,
        steps: list[Step],
        peer: Peer | None,
    ) -> HostError | None:
        """For the user that deploys: without key, shell or sudo nobody gets in to mend it."""
        name = desired["user"]
        if desired.get("login") != name:
            return None
        prop = why = ""
        if not desired["keys"]:
            prop, why = "keys", "no key would let it in any more"
        elif desired.get("shell") and not accounts.is_shell(desired["shell"]):
            prop, why = "shell", f"{desired['shell']} turns every login away"
        elif desired.get("sudo") is False and facts.get("_uid", -1) != 0:
            if any(step.prop in ("sudo", "user") for step in steps):
                prop, why = "sudo", "it could not become root any more"
        elif any("symbolic link" in step.have for step in steps if step.prop == "key_files"):
            prop, why = "key_files", f"{facts['key_files']}, which could not be put back: replace it yourself"
        if not why:
            return None
        return HostError(
            "lock-out", f"the deployment logs in as {name}, and {why}", prop=prop,
            hint="log in as another user first (`user` of the host), then change this one",
        )  # fmt: skip

    def undo(self, desired: Json, facts: Json, steps: list[Step]) -> Undo | None:
        """What only lets more people in needs none, but for the user that deploys."""
        name = str(desired["user"])
        if desired.get("login") != name and not any(map(user_steps.narrows, steps)):
            return None
        rule = str(sudoers.rule_path(self._machine, name))
        if not facts["exists"]:
            # -f: who has just logged in may still have processes. A home from before stays.
            home = [] if facts["_home_uid"] is not None else ["-r"]
            note = str(self._store.folder("users.users", name) / _MADE)
            return Undo((rule,), (("sh", "-c", _IF_MADE, note, "userdel", "-f", *home, name),))
        commands: list[Argv] = []
        if any(step.prop == "shell" for step in steps):
            commands.append(("usermod", "-s", facts["_shell"], name))
        if any(step.prop == "password" and step.have == "set" for step in steps):
            commands.append(("usermod", "-U", name))
        for step in steps:
            if step.action == "groups":
                back = "-d" if step.have == "absent" else "-a"
                commands.append(("gpasswd", back, name, step.prop.partition(".")[2]))
        return Undo((*facts["_keepable"], rule), tuple(commands))

    def undo_removal(self, desired: Json, record: Record, facts: Json) -> Undo | None:
        if not facts["exists"] or _stays(desired, record):
            return None
        name, rule = record.id, str(sudoers.rule_path(self._machine, record.id))
        commands: list[Argv] = [("usermod", "-s", facts["_shell"], name)]
        if _goes(desired, record):
            account = accounts.read(self._machine).accounts[name]
            groups = [f"--groups={','.join(facts['_groups'])}"] if facts["_groups"] else []
            commands = [
                ("groupadd", f"--gid={account.gid}", name),
                (
                    "useradd", f"--uid={account.uid}", f"--gid={account.gid}", f"--home-dir={account.home}",
                    "--no-create-home", f"--shell={account.shell}", "--password=*", *groups, name,
                ),
            ]  # fmt: skip
        commands += [("gpasswd", "-a", name, group) for group in facts["_groups"]]
        return Undo((*facts["_keepable"], rule), tuple(commands))

    def original(self, item: str, facts: Json, folder: Path) -> Json:
        rule = paths.keep(sudoers.rule_path(self._machine, item), folder / "sudoers")
        if not facts["exists"]:
            return {"type": "absent", "sudoers": rule, "files": [], "let_in": []}
        files = [
            {"path": path, "kept": paths.keep(Path(path), folder / f"keys-{number}")}
            for number, path in enumerate(facts["_keepable"])
        ]
        return {
            "type": "user", "sudoers": rule, "files": files, "let_in": facts["_let_in"],
            "shell": facts["_shell"], "groups": facts["_groups"],
        }  # fmt: skip

    def apply(self, desired: Json, steps: list[Step], work: Work) -> None:
        """Keys come before all that could need them."""
        name = str(desired["user"])
        if steps and steps[0].action == "create":
            self._create(desired, work.folder / _MADE)
            facts = self._facts(self.spec(name, desired), accounts.read(self._machine))
            refusal = self.obstacle(desired, facts)
            if refusal:
                raise refusal
            steps = self.plan(desired, facts)
        account = accounts.read(self._machine).accounts[name]
        ending = _may_end(desired) and any(
            step.action == "end" or (step.action == "keys" and user_steps.narrows(step)) for step in steps
        )
        if ending:
            # Noted before the keys change: cut off in between, the next run still ends them.
            work.record.extra[_ENDING] = True
            work.save()
        if any(step.action == "keys" for step in steps):
            where = key_files.locations(self._machine, name, account.uid, account.home)
            written = {*work.record.extra.get("files", ()), *map(str, where)}
            work.record.extra["files"] = sorted(written)
            work.save()
            text = authorized_keys.render(desired["keys"], f'User "{name}"')
            key_files.write(account, key_files.look(account, where), text)
        self._set(name, desired, steps, work)
        if ending:
            accounts.end_sessions(self._machine, account)
            del work.record.extra[_ENDING]

    def _set(self, name: str, desired: Json, steps: list[Step], work: Work) -> None:
        """Change all but the keys."""
        for step in steps:
            if step.prop == "sudo":
                self._set_sudo(name, wanted=desired["sudo"], folder=work.folder)
            elif step.prop == "shell":
                self._set_shell(name, desired["shell"])
            elif step.prop == "password":
                self._take_password(name, step.have, work)
            elif step.action == "groups":
                how = "-d" if step.want == "absent" else "-a"
                group = step.prop.partition(".")[2]
                if group not in accounts.read(self._machine).groups:
                    # A package that brings it later, as docker.io does, finds it there and takes it.
                    accounts.change(self._machine, "groupadd", "--system", group, prop="groups")
                accounts.change(self._machine, "gpasswd", how, name, group, prop="groups")

    def _create(self, desired: Json, note: Path) -> None:
        """Make the account, and then `note`, by which an undo knows that it is ours to delete."""
        paths.remove_file(note)
        name = str(desired["user"])
        known = accounts.read(self._machine)
        number: int | None = self._former_home(name, known)["_home_uid"]
        if number is None and not desired.get("system"):
            number = self._number_of_its_own(known)
        shell = str(desired.get("shell") or "/bin/bash")
        _must_exist(shell)
        options = [
            "--create-home", f"--home-dir={self._machine.homes / name}", f"--shell={shell}",
            # Not the `!` that it would be otherwise: sshd without PAM takes that for a locked account.
            "--password=*",
        ]  # fmt: skip
        if desired.get("system"):
            options.append("--system")
        if number is not None:
            options.append(f"--uid={number}")
        options.append(f"--gid={name}" if name in known.groups else "--user-group")
        accounts.change(self._machine, "useradd", *options, name)
        disk.write(note, b"", mode=0o600)

    def _number_of_its_own(self, known: Directory) -> int | None:
        """None, or a number where useradd might choose one that a home without an account belongs to.

        Whoever got it would own what somebody else has left there.
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

    def _take_password(self, name: str, have: str, work: Work) -> None:
        if have == "empty":
            accounts.change(self._machine, "usermod", "-p", "*", name, prop="password")
            return
        work.record.extra["locked"] = True
        work.save()
        accounts.change(self._machine, "usermod", "-L", name, prop="password")

    def remove(self, desired: Json, record: Record, folder: Path) -> str:
        """Access goes back to what it was; the home stays, and so does the user that deploys."""
        name = record.id
        account = accounts.read(self._machine).accounts.get(name)
        if account is not None and _stays(desired, record):
            return "kept"
        rule = sudoers.rule_path(self._machine, name)
        if record.original["sudoers"]["type"] != "absent":
            paths.put_back(rule, record.original["sudoers"], folder / "sudoers")
        elif account is None or desired.get("login") != name:
            paths.remove_file(rule)
        if account is None:
            return "absent"
        kept = {
            file["path"]: (file["kept"], folder / f"keys-{n}")
            for n, file in enumerate(record.original["files"])
        }
        for path in record.extra.get("files") or []:
            key_files.put_back(account, Path(path), *kept.get(path, ({"type": "absent"}, folder)))
        if _may_end(desired):
            accounts.end_sessions(self._machine, account)
        if record.original["type"] == "user":
            self._restore(desired, record, account)
            return "restored"
        if _goes(desired, record):
            self._delete(name)
            return "removed"
        return "kept"

    def _restore(self, desired: Json, record: Record, account: Account) -> None:
        name, kept = record.id, record.original
        if desired.get("shell") and kept["shell"] != account.shell:
            accounts.change(self._machine, "usermod", "-s", kept["shell"], name)
        if record.extra.get("locked") and len(account.secret) > 1 and account.secret[0] == "!":
            accounts.change(self._machine, "usermod", "-U", name)
        if desired.get("groups") is None:
            return
        known = accounts.read(self._machine)
        have, want = set(known.groups_of(name)), set(kept["groups"]) & set(known.groups)
        for how, groups in (("-a", want - have), ("-d", have - want)):
            for group in sorted(groups):
                accounts.change(self._machine, "gpasswd", how, name, group)

    def _delete(self, name: str) -> None:
        """Without -r: what a person keeps at home is not ours to delete."""
        self._machine.run(["loginctl", "terminate-user", name], timeout=_LEAVING)
        deadline = time.monotonic() + _LEAVING
        while True:
            try:
                return accounts.change(self._machine, "userdel", name)
            except HostError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(self._machine.settle)


def _may_end(desired: Json) -> bool:
    """Whether sessions of the account are ended; the deployment's own never are."""
    return desired.get("sessions") is not None and desired.get("login") != desired["user"]


def _stays(desired: Json, record: Record) -> bool:
    """Whether this is the user that deploys, and what stood there before us would not let it in.

    A destroy goes on after it, with logins of that user.
    """
    declared = {key.blob for key in map(authorized_keys.parse, desired["keys"].values()) if key}
    return desired.get("login") == record.id and not declared & set(record.original["let_in"])


def _goes(desired: Json, record: Record) -> bool:
    made = record.original["type"] == "absent"
    return made and desired.get("on_delete") == "remove" and desired.get("login") != record.id


def _must_exist(shell: str) -> None:
    if not Path(shell).exists():
        raise HostError(
            "invalid", f"there is no {shell} on the host", prop="shell",
            hint="depend on the package that brings it",
        )  # fmt: skip
