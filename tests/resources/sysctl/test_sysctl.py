from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portcullis.resources.sysctl.resource import SysctlProvider
from tests.host.test_provider import URN, survey_answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.canned import CannedChannel

PROPS = {
    "host": "web1", "managed_by": URN, "path": "/etc/sysctl.d/99-zz-portcullis.conf",
    "values": {"net.ipv4.tcp_syncookies": "1"}, "overridden": {}, "content": "net.ipv4.tcp_syncookies = 1\n",
    "owner": "root", "group": "root", "mode": "0644",
}  # fmt: skip


def faults(**changes: Any) -> list[str]:
    return [f"{f.property}: {f.reason}" for f in SysctlProvider().check({}, {**PROPS, **changes}).failures]


def test_check_has_one_spelling() -> None:
    checked = SysctlProvider().check({}, PROPS)
    assert checked.failures == []
    assert checked.inputs == PROPS


def test_malformed_settings_are_refused() -> None:
    assert faults(values={}) == ["values: names no setting"]
    assert "is not a kernel setting" in faults(values={"net.ipv4 x": "1"})[0]
    assert "is not a text with single spaces" in faults(values={"vm.swappiness": "1\n2"})[0]
    assert "is not a file" in faults(path="/etc/motd")[0]


def test_live_values_and_overriding_lines_are_read_back(canned: Callable[..., CannedChannel]) -> None:
    live = {
        "values": {"net.ipv4.tcp_syncookies": "0"},
        "overridden": {"net.ipv4.tcp_syncookies": "0 in /etc/sysctl.d/99-zzz.conf"},
        "content": "<absent>", "owner": "<absent>", "group": "<absent>", "mode": "<absent>",
    }  # fmt: skip
    channel = canned(survey_answer({"exists": True, **live, "revision": "1"}))
    found = SysctlProvider().read("x", PROPS)
    assert found.inputs == {**PROPS, **live}
    assert channel.sent[0][1]["items"][0]["spec"] == {
        "path": PROPS["path"],
        "values": PROPS["values"],
        "optional": [],
    }
