"""The report's lines about resources of other providers: Docker, keys, certificates, commands and others."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from portcullis.provider.changes import STAYS, Line, Section, Severity, difference, known, plain, words

if TYPE_CHECKING:
    from portcullis.provider.changes import Change

_NAMES = {
    "docker:index/container:Container": ("{name}", Section.SITES),
    "docker:index/network:Network": ("network {name}", Section.SITES),
    "docker:index/volume:Volume": ("volume {name}", Section.DATA),
    "docker:index/remoteImage:RemoteImage": ("image {name}", Section.SITES),
    "tls:index/privateKey:PrivateKey": ("key {resource}", Section.DATA),
    "tls:index/selfSignedCert:SelfSignedCert": ("certificate {resource}", Section.DATA),
    "tls:index/certRequest:CertRequest": ("certificate request {resource}", Section.DATA),
    "tls:index/locallySignedCert:LocallySignedCert": ("certificate {resource}", Section.DATA),
    "command:local:Command": ("command {resource}", Section.REST),
    "command:remote:Command": ("command {resource}", Section.REST),
}
"""By type: the name of a resource for people, and its section of the report."""
RENEWAL = "readyForRenewal"
"""The property of a certificate that changes when the certificate is due for renewal."""
_ENVIRONMENT = "environment differs"
_CONTAINER, _VOLUME = "docker:index/container:Container", "docker:index/volume:Volume"
_HARMLESS = {
    "command": {"triggers"},
    "pulumi": {"version"},
    "tls:index/certRequest:CertRequest": {"privateKeyPem"},
}
"""By type or package: the properties that change only because something else changes.

Every other change is shown. A pull request must not be able to hide a command, or the host of a provider.
"""


def lines(type_: str, change: Change, *, retained: bool = False, ends: Any = None) -> list[Line]:
    """Return the report's lines about a resource that is not one of our own kinds.

    Args:
        type_: the resource's type.
        change: what is different.
        retained: whether a delete leaves the thing on the host.
        ends: the end of a certificate, in RFC 3339.
    """
    form, section = _NAMES.get(type_, ("{kind} {resource}", Section.REST))
    # Only `up` knows the name of a release's container.
    names = (side.get("name") for side in (change.goal, change.live, change.before))
    own = change.name.removesuffix("-container")
    name = str(next((one for one in names if one and known(one)), own)).partition("@")[0]
    kind = words(type_.rpartition(":")[2])
    subject = form.format(name=name, resource=change.name, kind=kind)
    line = plain(change, subject, section=section)
    if type_ == _CONTAINER:
        return [_container(change, line)]
    if change.op == "replace" and change.names() == [RENEWAL]:
        return [_renewal(line, ends)]
    if change.op in ("delete", "replace") and type_ == _VOLUME and not retained:
        return [replace(line, what=f"{line.what}: its data will be lost", severity=Severity.OPEN)]
    if change.op == "delete" and retained:
        return [replace(line, remedy=f"{STAYS} on the host")]
    harmless = _HARMLESS.get(type_, _HARMLESS.get(type_.partition(":")[0]))
    if harmless is not None and change.op in ("update", "replace") and {*change.names()} <= harmless:
        return [replace(line, follows=True)]
    return [line]


def left(line: Line) -> Line:
    """Return the line about a thing that an `up` replaced and did not remove, because it failed later."""
    if line.topic.startswith("container "):
        # It may still serve. The inventory knows more, and then its line replaces this one.
        what, remedy = "container of the release before", "goes with the next release"
        return replace(line, what=what, remedy=remedy, severity=Severity.COSMETIC, echo=True)
    return line if line.stays else replace(line, what="replaced by an `up` that failed")


def _renewal(line: Line, ends: Any) -> Line:
    """Return the line that says when a certificate ends.

    The line has the severity "!" if no `up` renewed the certificate in time.
    """
    line = replace(line, what="is due for renewal", remedy="up renews it", severity=Severity.COSMETIC)
    try:
        end = datetime.fromisoformat(ends)
        left = end - datetime.now(UTC)
    except (TypeError, ValueError):
        return line
    if left >= timedelta(days=2):
        return replace(line, what=f"ends in {left.days} days, on {end:%Y-%m-%d}")
    how = "has ended" if left < timedelta() else f"ends within {'a day' if left.days == 0 else 'two days'}"
    return replace(line, what=f"{how}, on {end:%Y-%m-%d}", severity=Severity.WRONG)


def _container(change: Change, line: Line) -> Line:
    line = replace(line, topic=f"container {line.subject}")
    # The release of an app reports its stopped container. The topic of this report has no number.
    app = change.name.removesuffix("-container")
    is_release = app not in (change.name, line.subject)
    stopped = replace(line, topic=f"container {app}", echo=True) if is_release else line
    if change.gone:
        return replace(stopped, what="container is gone", remedy="up starts it")
    if change.op == "create":
        return replace(line, what="new container", remedy="up starts it")
    if change.op == "delete":
        return replace(line, what="container no longer declared")
    if change.live.get("mustRun") is False and change.changes("mustRun"):
        return replace(stopped, what="container is stopped", remedy="up starts it")
    names = change.names()
    what = "; ".join(_environment(change) if name == "envs" else difference(change, name) for name in names)
    remedy = "up replaces it" if change.op == "replace" else ""
    # If it does not name the variables, the container's state may.
    return replace(line, what=what or line.what, remedy=remedy, echo=what == _ENVIRONMENT)


def _environment(change: Change) -> str:
    """Name the environment variables that differ, without values. Docker lists them as `NAME=value`."""
    live, goal = change.live.get("envs"), change.goal.get("envs")
    if not isinstance(live, list) or not isinstance(goal, list):
        return _ENVIRONMENT
    both = {str(one) for one in live} ^ {str(one) for one in goal}
    return f"{_ENVIRONMENT} in {', '.join(sorted({one.partition('=')[0] for one in both}))}"
