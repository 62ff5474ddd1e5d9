"""The base of resources that report undeclared files in the configuration folder of a program.

Portcullis only reports these files. Portcullis never removes undeclared files.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from portcullis.agent import undeclared as agent
from portcullis.agent.step import WARN
from portcullis.host.provider import HostProvider, Normaliser, is_known
from portcullis.provider.changes import STAYS, Line, Severity
from portcullis.provider.diagnostics import warn

if TYPE_CHECKING:
    from portcullis.host.agent_process import Json
    from portcullis.host.session import Channel
    from portcullis.host.survey import Item
    from portcullis.provider.base import Props
    from portcullis.provider.changes import Change

EXTRACT = (
    'cd "$(mktemp -d)" && apt-get download {package} && dpkg-deb --fsys-tarfile {package}_*.deb'
    " | tar -xC / .{path}"
)
"""A shell command that extracts one file from its package. `path` is the quoted path of the file.

The command replaces the present file only after the download has worked. Reinstalling the package instead
would stop the program and leave a .dpkg-old file.
"""
FROM_UCF = "cp --remove-destination /var/lib/ucf/cache/{cached} {path}"
"""A shell command that restores the file that ucf(1) installed last.

`cached` is the quoted path with colons in place of slashes.
"""
# The command for each action of `portcullis.agent.undeclared`, and the names of its operands. The command's
# words are constants and quoted operands.
_FIXES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    agent.REMOVE: ("remove it yourself: rm {path} && {reload}", ()),
    agent.EXTRACT: (f"restore it yourself: {EXTRACT} && {{reload}}", ("package",)),
    agent.FROM_UCF: (f"restore it yourself: {FROM_UCF} && {{reload}}", ()),
    agent.EXTRACT_OVER_FOLDER: (
        f"restore it yourself: rm -r {{path}} && {EXTRACT} && {{reload}}",
        ("package",),
    ),
    agent.FROM_UCF_OVER_FOLDER: (f"restore it yourself: rm -r {{path}} && {FROM_UCF} && {{reload}}", ()),
    agent.CHOWN: ("repair it yourself: chown root:root {path} && {reload}", ()),
    agent.CHMOD: ("repair it yourself: chmod {mode} {path} && {reload}", ("mode",)),
    agent.CHOWN_AND_CHMOD: (
        "repair it yourself: chown root:root {path} && chmod {mode} {path} && {reload}",
        ("mode",),
    ),
    agent.UNACCEPT: ("remove it from the settings", ()),
    agent.HOLD: ("the next `up` records it as it is", ()),
    agent.BY_HAND: ("other users can write to a folder above it, so no command is safe", ()),
}


class TellsUndeclared(HostProvider):
    """Base of providers whose facts contain the undeclared files, `undeclared`.

    A report has a line for each undeclared file, and `up` shows a warning.
    """

    # After a change, the state contains the undeclared files that exist on the host. `fixes` is no input, so
    # the engine never compares it.
    chosen = ("undeclared", "fixes")
    renamed = MappingProxyType({"strangers": "undeclared"})
    reload: ClassVar[str]
    """The command that makes the program read its configuration again."""

    def put(self, channel: Channel, item: Item, props: Props, **more: Any) -> Json:
        """Make the declared change, and warn about undeclared files."""
        answer = super().put(channel, item, props, **more)
        for step in answer["steps"]:
            if step["action"] == WARN and not step["property"].startswith("undeclared["):
                warn(props["managed_by"], step["have"])
        found, fixes = (self._one(answer["facts"], name) for name in self.chosen)
        for path, text in found.items():
            way, _ = _fix(path, fixes, self.reload)
            warn(props["managed_by"], f"{agent.plain(path)}: {text} — {way}")
        return answer

    def undeclared(self, change: Change) -> list[Line]:
        """Return a line for each undeclared file, with a command that removes or repairs it."""
        fixes = change.outputs.get("fixes")
        return [
            Line(agent.plain(path), str(text), *_fix(path, fixes, self.reload), at=("undeclared", path))
            for path, text, _ in change.entries("undeclared")
            if text is not None
        ]

    def refused(self, change: Change, program: str) -> list[Line]:
        """Return a line for a program that refuses its configuration, with the program's own message."""
        said = str(change.live.get("broken") or "")
        if not said or not change.changes("broken"):
            return []
        stays_so = "no reload works until you repair the configuration"
        return [Line(program, said, stays_so, Severity.WRONG, at=("broken",))]


def remedy(path: str, fix: Sequence[str], reload: str) -> str:
    """Return the remedy for an undeclared file, as a command to paste.

    Args:
        path: the path of the file.
        fix: an action of `portcullis.agent.undeclared`, and its operands.
        reload: the command that makes the program read its configuration again.
    """
    way, names = _FIXES.get(fix[0] if fix else "", ("", ()))
    operands = fix[1:]
    # A program would take an operand that starts with a dash for an option.
    if not way or len(names) != len(operands) or path[:1] != "/" or any(each[:1] == "-" for each in operands):
        return STAYS
    at, quoted = shlex.quote(path), map(shlex.quote, operands)
    words = {
        "path": at,
        "cached": at.replace("/", ":"),
        "reload": reload,
        **dict(zip(names, quoted, strict=True)),
    }
    return f"{STAYS}; {way.format_map(words)}"


def _fix(path: str, fixes: object, reload: str) -> tuple[str, Severity]:
    """Return the remedy for an undeclared file, and its severity."""
    told = fixes.get(path) if isinstance(fixes, Mapping) else None
    if not isinstance(told, list | tuple) or not told or not all(isinstance(each, str) for each in told):
        return STAYS, Severity.OPEN
    severity = Severity.__members__.get(told[0].upper(), Severity.OPEN)
    return remedy(path, told[1:], reload), severity


def check_accepted(inputs: Normaliser) -> None:
    """Accept the input `accepted`, and declare that no other undeclared files exist."""
    accepted = inputs.news.get("accepted")
    inputs.inputs |= {"accepted": accepted if accepted is not None else {}, "undeclared": {}}
    for path, reason in (accepted or {}).items() if is_known(accepted) else ():
        if not path.startswith("/"):
            inputs.fail("accepted", f"{path!r} is not an absolute path")
        if is_known(reason) and not (isinstance(reason, str) and reason.strip()):
            inputs.fail("accepted", f"{path!r} has no reason")
