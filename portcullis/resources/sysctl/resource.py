"""Kernel settings of a host: their live values, and the file that sets them at boot."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from portcullis.host.guarded import GuardedProvider
from portcullis.host.provider import Normaliser, is_known
from portcullis.host.resource import DeclaredResource
from portcullis.provider.changes import Line, Severity, with_rest
from portcullis.resources.sysctl.facts import STATIC, SysctlDesired, SysctlFacts, SysctlProps

if TYPE_CHECKING:
    from portcullis.provider.base import Props
    from portcullis.provider.changes import Change

# sysctl.d(5): in a key written with dots, a slash means a dot in the name of an interface.
_KEY = re.compile(rf"[a-z0-9_-]+(\.(\*|{STATIC}|[A-Za-z0-9_/-]+))+\Z")
_VALUE = re.compile(r"[!-~]+( [!-~]+)*\Z")
_FOLDER = "/etc/sysctl.d/"
# Settings whose wrong value opens the host to an attack, each with the danger.
_OPENS = {"net.ipv4.ip_unprivileged_port_start": "local users can take a container's port"}


class SysctlProvider(GuardedProvider):
    """Provider of `Sysctl`."""

    kind = "sysctl"
    desired_type = SysctlDesired
    facts_type = SysctlFacts

    def normalise(self, inputs: Normaliser) -> None:
        """Check the folder of the file, keys and values."""
        super().normalise(inputs)
        path, values = inputs.news.get("path"), inputs.news.get("values")
        if is_known(path) and not (str(path).startswith(_FOLDER) and str(path).endswith(".conf")):
            inputs.fail("path", f"{path!r} is not a file {_FOLDER}*.conf")
        optional = inputs.inputs.get("optional")
        if isinstance(optional, list) and all(map(is_known, optional)):
            inputs.inputs["optional"] = sorted(optional)
        if not is_known(values):
            return
        if not values:
            inputs.fail("values", "names no setting")
        for key, value in values.items() if isinstance(values, dict) else ():
            if not _KEY.match(key):
                inputs.fail("values", f"{key!r} is not a kernel setting, such as net.ipv4.tcp_syncookies")
            if is_known(value) and not (isinstance(value, str) and _VALUE.match(value)):
                inputs.fail("values", f"{key}: {value!r} is not a text with single spaces between columns")

    def absent_inputs(self) -> Props:
        """Return no inputs, because a kernel always has values, and a missing file shows in `content`."""
        return {}

    def differing(self, change: Change, subject: str) -> list[Line]:
        """Return a line for each setting.

        If there is such a line, the difference in the text of the file needs no line of its own.
        """
        found = []
        for name in ("values", "overridden"):
            for key, live, goal in change.entries(name):
                at = (name, key)
                worst = Severity.OPEN if key in _OPENS else Severity.WRONG
                severity = worst if change.by_hand(at) else Severity.COSMETIC
                why = f": {_OPENS[key]}" if key in _OPENS else ""
                what = {
                    "values": f"{key} is {live}, declared {goal}{why}",
                    "overridden": f"{key} will be {live} after a reboot{why}",
                }[name]
                found.append(Line("kernel", what, "", severity, at=at))
        return with_rest(change, subject, found, *(("content",) if found else ()))


class Sysctl(SysctlProps, DeclaredResource):
    """Kernel settings, which are applied at once and written to a file that systemd reads at boot.

    A refresh reads the live values and the file from the host. `up` fails if a file that systemd reads later
    sets a key to another value, because that value would win at the next boot. The error names the value and
    the file. A delete restores the former values, as far as the kernel allows it without a reboot.
    """

    provider_type = SysctlProvider

    def derived(self, given: SysctlProps) -> dict[str, Any]:
        """Write a line for each value, unless a text is given."""
        lines = "".join(f"{key} = {value}\n" for key, value in given.values.items())
        return {
            "values": dict(given.values),  # the program may change its own map later
            "content": lines if given.content is None else given.content,
            "optional": sorted(given.optional) or None,
        }
