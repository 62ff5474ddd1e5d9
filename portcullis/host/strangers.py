"""The base of resources that report undeclared files ("strangers") in the configuration folder of a program.

Portcullis only reports these files. Portcullis never removes undeclared files.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any, ClassVar

from portcullis.agent.step import WARN
from portcullis.agent.strangers import LINK, SOME_PACKAGE, UNKNOWN, WITHOUT_EFFECT
from portcullis.host.provider import HostProvider, Normaliser, is_known
from portcullis.provider.changes import STAYS, Line, Severity
from portcullis.provider.diagnostics import warn

if TYPE_CHECKING:
    from portcullis.host.agent_process import Json
    from portcullis.host.session import Channel
    from portcullis.host.survey import Item
    from portcullis.provider.base import Props
    from portcullis.provider.changes import Change

_STEP = re.compile(r'strangers\["(.*)"\]', re.DOTALL)
# The beginnings of the texts of `portcullis.agent.strangers`. Names of packages follow Debian Policy, 5.6.7.
_BRINGS = rf"(?P<package>[a-z0-9][a-z0-9+.-]+|{SOME_PACKAGE}) brings"
_PACKAGED = re.compile(
    rf"(?:changed by hand: not as|gone;|(?P<folder>a directory, where)|[a-z ]+, where) {_BRINGS}"
)
_ACCESS = re.compile(r"(?P<owner>belongs to [^\s,]+)?(?:, )?(?:mode \d{4}, where (?P<mode>\d{4}) is usual)?")
_NO_EFFECT = re.compile(r"without effect|\w+ does not (?:load|read) it")
_DOES = re.compile(r"\b(?:serves|sets) ")
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


class TellsStrangers(HostProvider):
    """Base of providers whose facts contain `strangers`, the undeclared files.

    A report has a line for each undeclared file, and `up` shows a warning.
    """

    # After a change, the state contains the undeclared files that exist on the host.
    chosen = ("strangers",)
    reload: ClassVar[str]
    """The command that makes the program read its configuration again."""

    def put(self, channel: Channel, item: Item, props: Props, **more: Any) -> Json:
        """Make the declared change, and warn about undeclared files."""
        answer = super().put(channel, item, props, **more)
        for step in answer["steps"]:
            if step["action"] != WARN:
                continue
            found, text = _STEP.fullmatch(step["property"]), step["have"]
            stays = f"{found[1]}: {text} — {remedy(found[1], text, self.reload)}" if found else text
            warn(props["managed_by"], stays)
        return answer

    def strange(self, change: Change) -> list[Line]:
        """Return a line for each undeclared file, with a command that removes or repairs it."""
        return [
            Line(
                path,
                str(text),
                remedy(path, str(text), self.reload),
                severity(str(text)),
                at=("strangers", path),
            )
            for path, text, _ in change.entries("strangers")
            if text is not None
        ]

    def refused(self, change: Change, program: str) -> list[Line]:
        """Return a line for a program that refuses its configuration, with the program's own message."""
        said = str(change.live.get("broken") or "")
        if not said or not change.changes("broken"):
            return []
        stays_so = "no reload works until you repair the configuration"
        return [Line(program, said, stays_so, Severity.WRONG, at=("broken",))]


def remedy(path: str, text: str, reload: str) -> str:
    """Return the remedy for an undeclared file, as a command to paste.

    Args:
        path: the path of the file.
        text: the text of `portcullis.agent.strangers` about the file.
        reload: the command that makes the program read its configuration again.
    """
    at = shlex.quote(path)
    if text == WITHOUT_EFFECT:
        return f"{STAYS}; remove it from the settings"
    if text.startswith((UNKNOWN, LINK)):
        return f"{STAYS}; remove it yourself: rm {at} && {reload}"
    if packaged := _PACKAGED.match(text):
        if packaged["package"] == SOME_PACKAGE:
            back = FROM_UCF.format(cached=at.replace("/", ":"), path=at)
        else:
            back = EXTRACT.format(package=packaged["package"], path=at)
        removed = f"rm -r {at} && " if packaged["folder"] else ""
        return f"{STAYS}; restore it yourself: {removed}{back} && {reload}"
    access = _ACCESS.match(text)
    changes = []
    if access and access["owner"]:
        changes.append(f"chown root:root {at}")
    if access and access["mode"]:
        changes.append(f"chmod {access['mode']} {at}")
    return f"{STAYS}; repair it yourself: {' && '.join([*changes, reload])}" if changes else STAYS


def severity(text: str) -> Severity:
    """Return the severity of an undeclared file, as its text in the facts tells."""
    access = _ACCESS.match(text)
    if access and access[0]:
        return Severity.OPEN  # another user can write a file that root reads
    if _NO_EFFECT.search(text) or text == WITHOUT_EFFECT:
        return Severity.COSMETIC
    return Severity.WRONG if _PACKAGED.match(text) and not _DOES.search(text) else Severity.OPEN


def check_accepted(inputs: Normaliser) -> None:
    """Accept the input `accepted`, and declare that no other undeclared files exist."""
    accepted = inputs.news.get("accepted")
    inputs.inputs |= {"accepted": accepted if accepted is not None else {}, "strangers": {}}
    for path, reason in (accepted or {}).items() if is_known(accepted) else ():
        if not path.startswith("/"):
            inputs.fail("accepted", f"{path!r} is not an absolute path")
        if is_known(reason) and not (isinstance(reason, str) and reason.strip()):
            inputs.fail("accepted", f"{path!r} has no reason")
