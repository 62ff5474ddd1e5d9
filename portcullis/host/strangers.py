"""What every resource has in common that tells of strangers in its part's own folder. They stay there."""

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
# How `portcullis.agent.strangers` begins its texts. A name of a package as Debian Policy, 5.6.7 has it.
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
"""Takes one file out of its package; its path is quoted. What is there stays until the package is.

To install the package again would stop the program, and leave a .dpkg-old behind.
"""
FROM_UCF = "cp --remove-destination /var/lib/ucf/cache/{cached} {path}"
"""Puts back what ucf(1) has put there last; `cached` is the quoted path with colons for its slashes."""


class TellsStrangers(HostProvider):
    """Mixed into a provider whose facts have `strangers`: a report has a line for each, an `up` a warning."""

    # What a change leaves in the state is what is there, not what should be.
    chosen = ("strangers",)
    reload: ClassVar[str]
    """The command that makes the part take up its files."""

    def put(self, channel: Channel, item: Item, props: Props, **more: Any) -> Json:
        """Change what is declared, and warn of what nobody declared."""
        answer = super().put(channel, item, props, **more)
        for step in answer["steps"]:
            if step["action"] != WARN:
                continue
            found, text = _STEP.fullmatch(step["property"]), step["have"]
            stays = f"{found[1]}: {text} — {remedy(found[1], text, self.reload)}" if found else text
            warn(props["managed_by"], stays)
        return answer

    def strange(self, change: Change) -> list[Line]:
        """Return a line for each stranger, with the command by which a person ends it."""
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
        """Return the line of a program that refuses its configuration, in its own words."""
        said = str(change.live.get("broken") or "")
        if not said or not change.changes("broken"):
            return []
        stays_so = "no reload works until it is mended"
        return [Line(program, said, stays_so, Severity.WRONG, at=("broken",))]


def remedy(path: str, text: str, reload: str) -> str:
    """Return what a person can do about a stranger, by its text; ready to paste.

    Args:
        path: where it is.
        text: what `portcullis.agent.strangers` says of it.
        reload: the command that makes its part take up its files.
    """
    at = shlex.quote(path)
    if text == WITHOUT_EFFECT:
        return f"{STAYS}; take it out of the settings"
    if text.startswith((UNKNOWN, LINK)):
        return f"{STAYS}; remove it yourself: rm {at} && {reload}"
    if packaged := _PACKAGED.match(text):
        if packaged["package"] == SOME_PACKAGE:
            back = FROM_UCF.format(cached=at.replace("/", ":"), path=at)
        else:
            back = EXTRACT.format(package=packaged["package"], path=at)
        removed = f"rm -r {at} && " if packaged["folder"] else ""
        return f"{STAYS}; put it back yourself: {removed}{back} && {reload}"
    access = _ACCESS.match(text)
    changes = []
    if access and access["owner"]:
        changes.append(f"chown root:root {at}")
    if access and access["mode"]:
        changes.append(f"chmod {access['mode']} {at}")
    return f"{STAYS}; mend it yourself: {' && '.join([*changes, reload])}" if changes else STAYS


def severity(text: str) -> Severity:
    """Return how bad a stranger is, by its text."""
    access = _ACCESS.match(text)
    if access and access[0]:
        return Severity.OPEN  # somebody else may write what root reads
    if _NO_EFFECT.search(text) or text == WITHOUT_EFFECT:
        return Severity.COSMETIC
    return Severity.WRONG if _PACKAGED.match(text) and not _DOES.search(text) else Severity.OPEN


def check_accepted(inputs: Normaliser) -> None:
    """Take over what may be there, and note that nothing else should be."""
    accepted = inputs.news.get("accepted")
    inputs.inputs |= {"accepted": accepted if accepted is not None else {}, "strangers": {}}
    for path, reason in (accepted or {}).items() if is_known(accepted) else ():
        if not path.startswith("/"):
            inputs.fail("accepted", f"{path!r} is not an absolute path")
        if is_known(reason) and not (isinstance(reason, str) and reason.strip()):
            inputs.fail("accepted", f"{path!r} has no reason")
