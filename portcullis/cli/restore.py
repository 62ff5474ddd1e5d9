"""List the backups of a host's stores, or restore one.

Without --from, `restore` lists the backups. A restore first saves the store's current data, then overwrites
it.

With --from-host, the backup comes from the same store of another host. This machine passes it on and does not
store it. `--from now` takes a new backup first, and refuses a store that a container can still write to.

Exit code: the exit code of the restore on the host, or 2 if no restore was started.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portcullis.cli import command
from portcullis.cli.bounded_output import OutputTooLong, run_bounded
from portcullis.components.backups.job.restore import LATEST, table
from portcullis.host.connections import declared_hosts
from portcullis.printable import one_line, printable, printable_values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PROGRAM = "/usr/local/sbin/portcullis-backup"
# A store, or one of its databases. No character in such a name has a meaning for a shell.
_STORE = re.compile(r"[a-z][a-z0-9-]*(?:\.[A-Za-z0-9_-]+)?")
_NAME = re.compile(r"latest|[0-9TZ-]+")
_UNREACHABLE = 255
_LONGEST_LINE = 4096
_USAGE = 2


class Stopped(Exception):
    """The restore stopped before it changed anything. The error's text gives the reason."""


def run(options: argparse.Namespace) -> int:
    """List the backups, or restore one after a question. Return the exit code."""
    try:
        options.stack = command.stack_of(options.stack)
        ssh = _ssh(options.stack, options.host)
        found = _list(ssh, options.store, options.host)
        if not options.dump:
            _say(table(found))
            if found:
                store = options.store or found[0]["store"]
                _say(f"\n{_spelled(options, store, '--from', found[0]['name'])}   restores the newest.")
            return 0
        _restore(ssh, options, found)
    except Stopped as stopped:
        sys.stderr.write(f"error: {stopped}\n")
        return _USAGE
    except subprocess.CalledProcessError as failed:
        return failed.returncode
    return 0


def _restore(ssh: Sequence[str], options: argparse.Namespace, found: Sequence[dict[str, Any]]) -> None:
    if not options.store:
        raise Stopped("no store is given: name redis, mongo, mongo.DATABASE or postgres.DATABASE")
    dump = _chosen(found, options)
    if not options.yes:
        _ask(options.store, options.host, dump, safety=not options.no_safety_dump)
    more = ["--no-safety-dump"] if options.no_safety_dump else []
    _relay([*ssh, *_remote("restore", options.store, dump["name"], *more)])


def _relay(argv: Sequence[str]) -> None:
    """Run a program and print its output as it comes.

    Raises:
        CalledProcessError: the program failed.
    """
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as running:
        assert running.stdout is not None  # noqa: S101
        while line := running.stdout.readline(_LONGEST_LINE):
            _say(one_line(line.rstrip("\n")))
    if running.returncode:
        raise subprocess.CalledProcessError(running.returncode, "restore")


def _chosen(found: Sequence[dict[str, Any]], options: argparse.Namespace) -> dict[str, Any]:
    """Return the backup with the given name.

    "latest" is the newest backup that is not empty, except the copies that a restore makes first.
    """
    wanted, store = options.dump, options.store
    lists = f"{_spelled(options, store)} lists the backups"
    latest = (dump for dump in found if dump["items"] and not dump["aside"])
    dump = next(latest if wanted == LATEST else (dump for dump in found if dump["name"] == wanted), None)
    if dump is None and wanted == LATEST and found:
        raise Stopped(
            f"every backup of {store} is empty or is the copy that a restore made: choose one with --from; "
            f"{lists}"
        )
    if dump is None:
        raise Stopped(f"there is no backup {wanted} of {store}; {lists}")
    return dump


def _spelled(options: argparse.Namespace, *words: str) -> str:
    return command.spelled(options.stack, "restore", "--host", options.host, *words)


def _ask(store: str, host: str, dump: dict[str, Any], *, safety: bool) -> None:
    age = _ago(time.time() - dump["taken"])
    what = f"{dump['name']} ({age} ago, {dump['items']} {dump['holds']})"
    first = "The current data is saved first." if safety else "The current data is NOT saved first."
    _say(f"Restore {store} on {host} from {what}?\nThis overwrites the current data of {store}. {first}")
    if not sys.stdin.isatty():
        raise Stopped(
            "without a terminal, this command cannot ask you: add --yes to restore without a question"
        )
    try:
        answer = input(f"Type {store} to continue: ")
    except (EOFError, KeyboardInterrupt):
        answer = ""
    if answer.strip() != store:
        raise Stopped("nothing was changed")


def _list(ssh: Sequence[str], store: str, host: str) -> list[dict[str, Any]]:
    try:
        done = run_bounded([*ssh, *_remote("list", "--json", *([store] if store else []))])
    except OutputTooLong as error:
        raise Stopped(f"{host} cannot list its backups: {error}") from None
    if done.returncode == _UNREACHABLE:
        raise Stopped(f"{host} cannot be reached:\n{printable(done.stderr.strip())}")
    if "command not found" in done.stderr:
        raise Stopped(f"{host} makes no backups: deploy the component Backup to it first")
    if done.returncode != 0:
        raise Stopped(printable((done.stdout or done.stderr).strip().removeprefix("error: ")))
    return listed(done.stdout, host)


_FIELDS: Mapping[str, tuple[type, ...]] = {
    "store": (str,), "name": (str,), "taken": (int, float), "items": (int,), "place": (str,), "bytes": (int,),
    "holds": (str,), "aside": (bool,),
}  # fmt: skip


def listed(text: str, host: str) -> list[dict[str, Any]]:
    """Return the backups of a host, from the host's answer.

    Raises:
        Stopped: the answer is not a list of backups.
    """
    try:
        found: list[dict[str, Any]] = printable_values(json.loads(text), show=one_line)
        if isinstance(found, list) and all(
            type(dump[name]) in types for dump in found for name, types in _FIELDS.items()
        ):
            return found
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise Stopped(f"the answer of {host} is not a list of backups")


def _ssh(stack: str, host: str) -> list[str]:
    config = Path(".portcullis") / stack / "ssh_config"
    if not config.exists():
        raise Stopped(f"the file {config} is missing: `portcullis preview --stack {stack}` writes it")
    known = declared_hosts(config.read_text())
    if host not in known:
        raise Stopped(f"the stack {stack} has no host {host}; its hosts: {', '.join(known)}")
    # Leave no master connection behind, and never ask for a password.
    return ["ssh", "-F", str(config), "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-S", "none", host]


def _remote(*words: str) -> list[str]:
    return ["sudo", "-n", PROGRAM, *map(shlex.quote, words)]


def _ago(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours / 24:.0f} days" if hours >= 48 else f"{hours:.0f} hours"  # noqa: PLR2004 - two days


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a command-line program


def _form(pattern: re.Pattern[str], what: str) -> Any:
    def read(text: str) -> str:
        if text and not pattern.fullmatch(text):
            raise argparse.ArgumentTypeError(f"the argument {text!r} is not {what}")
        return text

    return read


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    command.add_stack(parser)
    parser.add_argument("--host", required=True, help="the host's alias")
    name = _form(_NAME, "the name of a backup; leave out --from to list the backups")
    parser.add_argument("--from", dest="dump", default="", type=name, help='a backup\'s name, or "latest"')
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--no-safety-dump", action="store_true", help="do not save the current data; for a broken store"
    )
    store = _form(_STORE, "a store; write redis, mongo, mongo.DATABASE or postgres.DATABASE")
    names = "redis, mongo, mongo.DATABASE or postgres.DATABASE"
    parser.add_argument("store", nargs="?", default="", type=store, help=names)
