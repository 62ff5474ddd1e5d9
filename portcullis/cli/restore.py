"""List the backups of a host's stores, or bring one back.

Without --from it lists what there is. A backup overwrites what the store has now, which is set aside first.

Exit status: that of the restore on the host; 2, nothing was restored.
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
from portcullis.cli.heard import TooMuch, heard
from portcullis.components.backups.job.restore import LATEST, table
from portcullis.printable import one_line, printable, printable_values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PROGRAM = "/usr/local/sbin/portcullis-backup"
# A store, and a database of it; nothing that a shell would read otherwise.
_STORE = re.compile(r"[a-z][a-z0-9-]*(?:\.[A-Za-z0-9_-]+)?")
_NAME = re.compile(r"latest|[0-9TZ-]+")
_UNREACHABLE = 255
_LONGEST_LINE = 4096
_USAGE = 2


class Stopped(Exception):
    """Nothing was restored; the text says why."""


def run(options: argparse.Namespace) -> int:
    """List what there is, or restore it after a question; return the exit status."""
    try:
        options.stack = command.stack_of(options.stack)
        ssh = _ssh(options.stack, options.host)
        found = _list(ssh, options.store, options.host)
        if not options.dump:
            _say(table(found))
            if found:
                store = options.store or found[0]["store"]
                _say(f"\n{_spelled(options, store, '--from', found[0]['name'])}   brings that one back.")
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
        raise Stopped("which store? redis, mongo or mongo.DATABASE")
    dump = _chosen(found, options)
    if not options.yes:
        _ask(options.store, options.host, dump, safety=not options.no_safety_dump)
    more = ["--no-safety-dump"] if options.no_safety_dump else []
    _relay([*ssh, *_remote("restore", options.store, dump["name"], *more)])


def _relay(argv: Sequence[str]) -> None:
    """Run a program and show what it says while it says it.

    Raises:
        CalledProcessError: it failed.
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
    """Return the dump of that name; the newest that somebody took on purpose and that has something in it."""
    wanted, store = options.dump, options.store
    lists = f"{_spelled(options, store)} lists them"
    latest = (dump for dump in found if dump["items"] and not dump["aside"])
    dump = next(latest if wanted == LATEST else (dump for dump in found if dump["name"] == wanted), None)
    if dump is None and wanted == LATEST and found:
        raise Stopped(
            f"every backup of {store} is empty or was set aside by a restore: name the one that you want; "
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
    first = "What it has now is set aside first." if safety else "What it has now is NOT set aside first."
    _say(f"Restore {store} on {host} from {what}?\nIt overwrites what {store} has now. {first}")
    if not sys.stdin.isatty():
        raise Stopped("nobody is there to answer; --yes restores without asking")
    try:
        answer = input(f"Type {store} to go on: ")
    except (EOFError, KeyboardInterrupt):
        answer = ""
    if answer.strip() != store:
        raise Stopped("nothing was changed")


def _list(ssh: Sequence[str], store: str, host: str) -> list[dict[str, Any]]:
    try:
        done = heard([*ssh, *_remote("list", "--json", *([store] if store else []))])
    except TooMuch as error:
        raise Stopped(f"{host} cannot be asked: {error}") from None
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
    """Return the backups that a host tells of.

    Raises:
        Stopped: it tells something else.
    """
    try:
        found: list[dict[str, Any]] = printable_values(json.loads(text), show=one_line)
        if isinstance(found, list) and all(
            type(dump[name]) in types for dump in found for name, types in _FIELDS.items()
        ):
            return found
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise Stopped(f"{host} answered with something else than a list of backups")


def _ssh(stack: str, host: str) -> list[str]:
    config = Path(".portcullis") / stack / "ssh_config"
    if not config.exists():
        raise Stopped(f"{config} is missing: `portcullis preview --stack {stack}` writes it")
    # No master connection is left behind, and no password asked for.
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
            raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
        return text

    return read


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the verb takes."""
    command.add_stack(parser)
    parser.add_argument("--host", required=True, help="the host's alias")
    name = _form(_NAME, "the name of a backup; without --from they are listed")
    parser.add_argument("--from", dest="dump", default="", type=name, help='a name of the list, or "latest"')
    parser.add_argument("--yes", action="store_true", help="ask nothing")
    parser.add_argument("--no-safety-dump", action="store_true", help="for a store that is broken")
    store = _form(_STORE, "a store; write redis, mongo or mongo.DATABASE")
    parser.add_argument("store", nargs="?", default="", type=store)
