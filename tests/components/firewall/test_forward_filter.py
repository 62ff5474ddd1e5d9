from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.components.firewall.render import forward_filter as render
from portcullis.components.firewall.resource.forward_filter import ForwardFilterProvider
from portcullis.host.errors import HostError
from portcullis.host.provider import Errors
from portcullis.provider.changes import Change, Severity

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.canned import CannedChannel

URN = "urn:pulumi:lab::portcullis::portcullis:index:ForwardFilter::filter"
TABLE = render.table(render.ForwardPolicy())
PROPS = {
    "host": "web1", "managed_by": URN, "table": TABLE, "file": render.file("filter", TABLE),
    "unit": render.unit("filter"), "boot": "enabled", "permissions": "root root 0644",
}  # fmt: skip
FACTS = {key: PROPS[key] for key in ("table", "file", "unit", "boot", "permissions")} | {
    "exists": True,
    "conflict": "",
    "revision": "7",
}


def read(canned: Callable[..., CannedChannel], facts: dict[str, Any]) -> dict[str, Any]:
    canned(lambda _op, asked: {"items": [{**item, "facts": facts} for item in asked["items"]]})
    found = ForwardFilterProvider().read("x", {**PROPS, "revision": "7"})
    assert found.inputs is not None
    return found.inputs


def test_check_keeps_valid_inputs_unchanged() -> None:
    checked = ForwardFilterProvider().check({}, PROPS)
    assert checked.failures == []
    assert checked.inputs == PROPS


def test_a_text_that_is_not_exactly_our_table_is_refused() -> None:
    for table in ("<absent>", "table ip filter {\n}\n", TABLE + "flush ruleset\n"):
        (failure,) = ForwardFilterProvider().check({}, {**PROPS, "table": table}).failures
        assert failure.property == "table"


def test_an_unchanged_host_shows_no_difference(canned: Callable[..., CannedChannel]) -> None:
    assert read(canned, FACTS) == PROPS


def test_a_flushed_chain_shows_as_missing_lines(canned: Callable[..., CannedChannel]) -> None:
    live = TABLE.replace("\t\tct status dnat counter drop", "")
    assert read(canned, {**FACTS, "table": live}) == {**PROPS, "table": live}


def test_an_absent_filter_stays_in_state(canned: Callable[..., CannedChannel]) -> None:
    found = read(canned, {"exists": False, "conflict": ""})
    assert {key for key in found if found[key] == "<absent>"} == {"table", "file", "unit", "boot"}


def test_the_subject_of_an_error_is_no_text_of_a_file() -> None:
    props = {"host": "web1", "managed_by": "urn:pulumi::web1-filter", "unit": "[Unit]\nDescription=Filter\n"}
    with pytest.raises(HostError) as caught, Errors(ForwardFilterProvider(), props):
        raise HostError("nft failed")
    assert str(caught.value.subject) == 'web1: ForwardFilter "web1-filter"'


def test_a_unit_that_flushes_the_table_shows_by_name(canned: Callable[..., CannedChannel]) -> None:
    found = read(canned, {**FACTS, "conflict": "nftables.service is enabled"})
    assert found == {**PROPS, "conflict": "nftables.service is enabled"}
    # Check removes the undeclared input again, so the engine updates. Then the agent says what to do.
    assert ForwardFilterProvider().check(found, PROPS).inputs == PROPS


def test_the_command_against_that_unit_does_not_stop_it_because_a_stop_flushes_all_rules() -> None:
    conflict = {"conflict": "nftables.service is enabled"}
    change = Change(
        kind="ForwardFilter", name="filter", op="update", host="web1",
        before=PROPS, live={**PROPS, **conflict}, goal=PROPS,
        hand=frozenset({("conflict",)}), up=frozenset({("conflict",)}),
    )  # fmt: skip
    (line,) = ForwardFilterProvider().lines(change)
    assert line.remedy == "stays; remove it yourself: systemctl disable nftables.service"


def test_a_new_table_of_a_new_version_is_one_quiet_line() -> None:
    old = {**PROPS, "table": "table x {\n}\n", "file": "old"}
    change = Change(
        kind="ForwardFilter", name="filter", op="update", host="web1",
        before=old, live=old, goal=PROPS, up=frozenset({("table",), ("file",)}),
    )  # fmt: skip
    (line,) = ForwardFilterProvider().lines(change)
    assert (line.what, line.severity) == ("has other rules", Severity.COSMETIC)
    by_hand = replace(change, live={**old, "file": "mine"}, hand=frozenset({("file",)}))
    assert [each.what for each in ForwardFilterProvider().lines(by_hand)] == [
        "has other rules",
        "its file differs",
    ]


@pytest.mark.parametrize(
    "where", [{"public": {"443/tcp": ["fe80::1%eth0; id"]}}, {"egress": {"br": ["fe80::1%eth0; id"]}}]
)
def test_an_address_cannot_bring_other_text_into_the_table(where: dict[str, dict[str, list[str]]]) -> None:
    with pytest.raises(ValueError, match="fe80"):
        render.ForwardPolicy(**where)
