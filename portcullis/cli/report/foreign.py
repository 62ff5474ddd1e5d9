"""How resources that are not ours are told of: Docker's, keys and certificates, commands, and any other."""

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
"""What people call a resource of a type, and what it is about."""
RENEWAL = "readyForRenewal"
"""What differs of a certificate when its time has come."""
_CONTAINER, _VOLUME = "docker:index/container:Container", "docker:index/volume:Volume"
_HARMLESS = {
    "command": {"triggers"},
    "pulumi": {"version"},
    "tls:index/certRequest:CertRequest": {"privateKeyPem"},
}
"""By type or package, what of it changes only since something else does.

Anything else is told: a pull request may not hide a command, or the host that a provider leads to.
"""


def lines(type_: str, change: Change, *, retained: bool = False, ends: Any = None) -> list[Line]:
    """Return the lines of a resource that no kind of ours tells of.

    Args:
        type_: its type.
        change: what is different.
        retained: a delete leaves the thing where it is.
        ends: when a certificate does, in RFC 3339.
    """
    form, section = _NAMES.get(type_, ("{kind} {resource}", Section.REST))
    # What a release's container will be called, only `up` knows.
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
        return [replace(line, what=f"{line.what}: its data goes with it", severity=Severity.OPEN)]
    if change.op == "delete" and retained:
        return [replace(line, remedy=f"{STAYS} on the host")]
    harmless = _HARMLESS.get(type_, _HARMLESS.get(type_.partition(":")[0]))
    if harmless is not None and change.op in ("update", "replace") and {*change.names()} <= harmless:
        return [replace(line, follows=True)]
    return [line]


def _renewal(line: Line, ends: Any) -> Line:
    """Say when a certificate ends; an earlier `up` would have renewed it."""
    line = replace(line, what="is due", remedy="up renews it", severity=Severity.COSMETIC)
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
    if change.gone:
        return replace(line, what="container is gone", remedy="up starts it")
    if change.op == "create":
        return replace(line, what="new container", remedy="up starts it")
    if change.op == "delete":
        return replace(line, what="container no longer declared")
    if change.live.get("mustRun") is False and change.changes("mustRun"):
        return replace(line, what="container is stopped", remedy="up starts it")
    names = change.names()
    told = "; ".join(_environment(change) if name == "envs" else difference(change, name) for name in names)
    remedy = "up replaces it" if change.op == "replace" else ""
    return replace(line, what=told or line.what, remedy=remedy)


def _environment(change: Change) -> str:
    """Name the variables that differ, and no value: Docker's environment is a list of `NAME=value`."""
    live, goal = change.live.get("envs"), change.goal.get("envs")
    if not isinstance(live, list) or not isinstance(goal, list):
        return "environment differs"
    both = {str(one) for one in live} ^ {str(one) for one in goal}
    return f"environment differs in {', '.join(sorted({one.partition('=')[0] for one in both}))}"
