"""Find undeclared files that sshd reads, also changed files of packages, and the options that they set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.agent import packaged, undeclared
from portcullis.components.ssh.on_host import sshd_config
from portcullis.components.ssh.on_host.sshd_config import CUMULATIVE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from portcullis.agent.machine import Machine
    from portcullis.agent.store import Store
    from portcullis.agent.undeclared import UndeclaredFile, UndeclaredFiles
    from portcullis.components.ssh.on_host.sshd_config import Line

_LINES = 5  # lines of one file in a report
# The main file of Debian and Ubuntu sets these harmless options on every host.
_DEFAULTS = frozenset(
    [
        "include",
        "usepam yes",
        "printmotd no",
        "acceptenv lang lc_*",
        "acceptenv lang lc_* colorterm no_color",
        "subsystem sftp /usr/lib/openssh/sftp-server",
    ]
)


def read(
    machine: Machine, store: Store, lines: Sequence[Line], ours: Path, blamed: Iterable[str]
) -> UndeclaredFiles:
    """Find the undeclared files: in the folder of drop-ins, the main file, and files included from elsewhere.

    Args:
        machine: the host.
        store: the declared resources.
        lines: every line in force, in the order in which sshd reads them.
        ours: our own drop-in.
        blamed: values of the declared options in the facts. If a value names the place of a line, the report
            of undeclared files does not repeat this line.

    Raises:
        AgentError: ``unreadable``: the agent cannot read the folder.
    """
    main = machine.ssh / "sshd_config"
    found = undeclared.read(machine, store, ours.parent, ours=[ours])
    found.update(_elsewhere(machine, store, {line.file for line in lines} | {str(main)}, ours.parent))
    told = "\n".join(blamed)
    effects = _in_effect(lines, str(ours))
    result: UndeclaredFiles = {}
    for name, one in found.items():
        mine = [line for line in effects if line.file == name]
        untold = [line for line in mine if f"({line.place})" not in told]
        if not untold and (mine or _is_out_of_force(Path(name))):
            result[name] = replace(one, quiet=True)
            continue
        words, has_effect = _words(lines, Path(name), untold, one)
        result[name] = one.with_effect(words, has_effect=has_effect, is_named=bool(untold))
    return result


def _is_out_of_force(path: Path) -> bool:
    """Return whether the agent itself turned lines of this file into comments.

    A line that the agent turned into a comment starts with our mark.
    """
    return sshd_config.MARK in (sshd_config.read_text(path) or "")


def _elsewhere(machine: Machine, store: Store, files: Iterable[str], folder: Path) -> UndeclaredFiles:
    """Undeclared files outside the folder of drop-ins: the main file, and files that it includes."""
    found: UndeclaredFiles = {}
    for name in sorted(files):
        path = Path(name)
        if folder in path.parents or undeclared.is_declared(store, path):
            continue
        one = undeclared.look(path, packaged.shipped_sums(machine, path))
        if one is not None:
            found[name] = one
    return found


def _in_effect(lines: Sequence[Line], ours: str) -> list[Line]:
    """The lines of undeclared files that have an effect.

    For most options the first line counts, and a line in a Match block wins over a line outside.
    """
    # The last block of our file repeats these options for all users, so no line after our file can change
    # them.
    repeated = {line.keyword for line in lines if line.file == ours and line.match.lower() == "all"}
    seen: set[str] = set()
    reached = False
    found = []
    for line in lines:
        if line.file == ours:
            seen.add(line.keyword)
            reached = True
            continue
        if line.match:
            counts = not (reached and line.keyword in repeated)
        else:
            counts = line.keyword in CUMULATIVE or line.keyword not in seen | repeated
            seen.add(line.keyword)
        text = f"{line.keyword} {line.value_alone}".strip().lower()
        if counts and line.keyword != "include" and (line.match or text not in _DEFAULTS):
            found.append(line)
    return found


def _words(
    lines: Sequence[Line], path: Path, effects: Sequence[Line], one: UndeclaredFile
) -> tuple[str, bool]:
    """Return the effect of a file, and whether it has one."""
    if not path.exists():
        return "sshd does not start without it", True
    if not effects:
        is_read = path.name == "sshd_config" or sshd_config.includes(list(lines), path)
        return "without effect" if is_read else "sshd does not read it", False
    # The values of a file that only root may read stay on the host. Show only the keywords.
    shown = [
        f"{line.keyword} {_plain(line.value)}" if one.open_to_all else line.keyword
        for line in effects[:_LINES]
    ]
    more = f" and {len(effects) - _LINES} more" if len(effects) > _LINES else ""
    return f"sets {', '.join(dict.fromkeys(shown))}{more}", True


def _plain(text: str) -> str:
    return " ".join(map(undeclared.plain, text.split()))
