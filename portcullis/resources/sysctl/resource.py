"""Kernel settings of a host: their live values, and the file that sets them at boot."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from portcullis.host.guarded import GuardedProvider
from portcullis.host.provider import Normaliser, is_known
from portcullis.host.resource import HostResource
from portcullis.provider.changes import Line, Severity, with_rest
from portcullis.resources.sysctl.facts import STATIC, SysctlDesired, SysctlFacts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pulumi

    from portcullis.host.host import Host
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
    live = ("values", "overridden", "content", "owner", "group", "mode")
    identity = ("host", "path")

    def normalise(self, inputs: Normaliser) -> None:
        """Check path, keys and values."""
        inputs.path("path")
        inputs.mode("mode")
        inputs.text("owner")
        inputs.text("group")
        inputs.text("content")
        # In `overridden`, `read` returns values that would win over the file at the next boot.
        inputs.inputs["overridden"] = {}
        path, values = inputs.news.get("path"), inputs.news.get("values")
        if is_known(path) and not (str(path).startswith(_FOLDER) and str(path).endswith(".conf")):
            inputs.fail("path", f"{path!r} is not a file {_FOLDER}*.conf")
        inputs.inputs["values"] = values
        optional = inputs.news.get("optional")
        if optional:
            known = is_known(optional) and all(map(is_known, optional))
            inputs.inputs["optional"] = sorted(optional) if known else optional
        if not is_known(values):
            return
        if not values:
            inputs.fail("values", "names no setting")
        for key, value in (values or {}).items():
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


class Sysctl(HostResource):
    """Kernel settings, which are applied at once and written to a file that systemd reads at boot.

    A refresh reads the live values and the file from the host. `up` fails if a file that systemd reads later
    sets a key to another value, because that value would win at the next boot. The error names the value and
    the file. A delete restores the former values, as far as the kernel allows it without a reboot.

    Attributes:
        path: the file, /etc/sysctl.d/*.conf.
        values: the values, by key. In a key, `*` means every interface that no other key names. `<static>`
            means every interface with a static IPv6 default route, which no router has sent.
        content: the text of the file.
    """

    path: pulumi.Output[str]
    values: pulumi.Output[dict[str, str]]
    content: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        host: Host | str,
        values: Mapping[str, str],
        path: str = "/etc/sysctl.d/99-zz-portcullis.conf",
        content: str | None = None,
        optional: Sequence[str] = (),
        adopt: bool | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the settings.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            values: the values, by key, such as "net.ipv4.tcp_syncookies".
            path: the file of the settings. If several files set a key, the last name in the alphabet wins.
            content: the text of the file, for example with comments; by default one line for each value.
            optional: keys that some kernels do not have; a missing one is no error.
            adopt: take over a file that exists and differs, and values that an administrator's file sets to
                something else.
            opts: resource options.
        """
        super().__init__(
            SysctlProvider,
            name,
            host=host,
            adopt=adopt,
            inputs={
                "path": path,
                "values": dict(values),
                "content": content or "".join(f"{key} = {value}\n" for key, value in values.items()),
                "optional": sorted(optional) or None,
                "owner": "root",
                "group": "root",
                "mode": "0644",
                "overridden": {},
            },
            opts=opts,
        )
