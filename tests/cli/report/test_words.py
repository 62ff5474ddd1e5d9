"""Tests how the report words the differences of each kind of resource."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from portcullis.cli.report.render import title
from portcullis.components.inventory.facts import FORMER, MAPS, NO_BASELINE, STILL_SERVES
from portcullis.components.inventory.report_lines import lines
from portcullis.components.nginx.on_host.served_containers import IS_SERVED
from portcullis.provider.changes import UNKNOWN, Change, Severity, path_of
from tests.cli.report.streams import CONTAINER, Stream, differs, stopped

if TYPE_CHECKING:
    from portcullis.provider.changes import Line

WORDS = yaml.safe_load((Path(__file__).parent / "words.yaml").read_text())


@pytest.mark.parametrize("case", WORDS["by_hand"], ids=lambda case: case["said"])
def test_by_hand(case: dict[str, Any]) -> None:
    kind, declared, changed = case["kind"], case["declared"], case["changed"]
    report = Stream().thing(kind, "x", declared, {**declared, **changed}, declared).report()
    assert [f"{d.severity} {d.subject}: {d.what} — {d.remedy}" for d in report.differences] == [case["said"]]
    assert report.differences[0].by_hand
    # The same difference in the code is no change by hand.
    mine = Stream().thing(kind, "x", declared, declared, {**declared, **changed}).report()
    assert [d.by_hand for d in mine.differences] == [False] * len(mine.differences)
    assert mine.differences or kind == "BackupStatus"


def test_a_missing_port_follows_from_its_missing_container() -> None:
    maps: dict[str, Any] = {"listeners": {}, "published": {}, "passes": {}, "networks": {}}
    declared = {**maps, "published": {"tcp4 172.17.0.1:6379": 'container "redis"'}}
    report = Stream().thing("Exposure", "e", declared, maps, declared).report()
    assert [d.what for d in report.differences] == ['declared but missing: container "redis"']
    redis = {"name": "redis"}
    report = (
        Stream()
        .thing("Exposure", "e", declared, maps, declared)
        .thing("docker:index/container:Container", "redis", redis, None, redis)
        .report()
    )
    assert [d.what for d in report.differences] == ["container is gone"]


def test_a_stopped_app_is_one_line_with_one_remedy() -> None:
    report = stopped().report()
    assert [f"{d.severity} {d.subject}: {d.what} — {d.remedy}" for d in report.differences] == [
        "! api: the container of its release is exited 0 — up makes a new release"
    ]
    assert title(report).startswith("web1: 1 change made by hand, 0 changes in your code")


def test_a_stopped_app_hides_no_file_whose_text_the_code_changed() -> None:
    site = {"path": "/etc/nginx/conf.d/a.conf", "content": "a"}
    other = {"path": "/etc/sudoers.d/a", "content": "a"}
    report = (
        stopped()
        .thing("File", "web1-a", site, site, {**site, "content": "b"})
        .thing("File", "web1-b", other, other, {**other, "content": UNKNOWN})
        .report()
    )
    assert sorted(d.subject for d in report.differences) == [
        "/etc/nginx/conf.d/a.conf",
        "/etc/sudoers.d/a",
        "api",
    ]


def test_a_new_release_hides_no_file_of_nginx() -> None:
    site = {"path": "/etc/nginx/conf.d/a.conf", "content": "a"}
    release = {"app": "api", "container": "running", "cpus": "1"}
    report = (
        Stream()
        .thing("Release", "api-release", release, release, {**release, "cpus": "2"})
        .thing("File", "web1-a", site, site, {**site, "content": UNKNOWN})
        .thing("File", "motd", {"path": "/etc/motd", "content": "a"}, None, None)
        .report()
    )
    assert "/etc/nginx/conf.d/a.conf" in [d.subject for d in report.differences]


def inventory(advice: dict[str, Any] | None = None, **maps: dict[str, str]) -> list[Line]:
    live = {name: maps.get(name, {}) for name in MAPS}
    none: dict[str, Any] = {name: {} for name in live}
    paths = frozenset(map(path_of, differs(none, live)))
    # The code still has an acceptance without effect.
    keys = [key for found in maps.values() for key in found if key.startswith("accept ")]
    none["accepted"] = {key.removeprefix("accept "): "tried for a day" for key in keys}
    outputs = {**live, "advice": advice or {}}
    change = Change("Inventory", "i", "update", none, live, none, paths, paths, "web1", outputs)
    return lines(change)


@pytest.mark.parametrize("case", WORDS["inventory"], ids=lambda case: case["key"])
def test_an_undeclared_thing_stays_and_its_command_can_be_pasted(case: dict[str, Any]) -> None:
    advice = {case["map"]: {case["key"]: {"is_open": case["open"], "fixes": case["fixes"]}}}
    (line,) = inventory(advice, **{case["map"]: {case["key"]: case["text"]}})
    assert (line.subject, line.what) == (case["key"], case["text"])
    assert (line.severity.value, line.remedy) == (case["mark"], case["said"])
    assert line.stays


def test_what_a_failed_up_left_goes_with_the_next_and_has_no_command() -> None:
    for text, remedy in FORMER.items():
        (line,) = inventory(docker={"container api-1": text})
        assert (line.what, line.remedy, line.severity) == (text, remedy, Severity.WRONG)
        assert not line.stays


def left_behind() -> Stream:
    """Return the events of a preview after an `up` that failed: it made a release, and removed none."""
    stream, api = Stream(), {"name": "api-2", "capabilities": {"drops": ["ALL"]}}
    stream.thing(CONTAINER, "api-container", api, api, api)
    former = {**api, "name": "api-1"}
    return stream.event("resOutputsEvent", "delete-replaced", CONTAINER, "api-container", former, None, None)


def test_the_release_before_is_one_line_and_nobody_made_it_by_hand() -> None:
    (line,) = left_behind().report().differences
    assert (line.subject, line.what, line.remedy, line.op) == (
        "api-1", "container of the release before", "goes with the next release", "delete"
    )  # fmt: skip
    none: dict[str, Any] = {name: {} for name in MAPS}
    found = {"container api-1": STILL_SERVES}
    report = left_behind().thing("Inventory", "i", none, {**none, "docker": found}, none).report()
    (line,) = report.differences
    assert (line.subject, line.what, line.by_hand) == ("container api-1", STILL_SERVES, False)


def test_what_a_failed_up_replaced_hides_no_change_of_today() -> None:
    network, kind = {"name": "x", "internal": False}, "docker:index/network:Network"
    stream = Stream().thing(kind, "x-network", network, network, {**network, "internal": True})
    stream.event("resOutputsEvent", "delete-replaced", kind, "x-network", {"name": "y"}, None, None)
    assert [(one.subject, one.what) for one in stream.report().differences] == [
        ("network x", "internal false, declared true"),
        ("network y", "replaced by an `up` that failed"),
    ]


def test_a_container_that_nginx_sends_requests_to_has_no_command() -> None:
    advice = {"docker": {"container leak": {"is_open": True, "fixes": []}}}
    (line,) = inventory(advice, docker={"container leak": f"{IS_SERVED}, privileged, mysql:8"})
    assert (line.remedy, line.severity) == ("stays", Severity.OPEN)


def test_a_path_of_the_host_cannot_become_a_command() -> None:
    path = "/etc/$(reboot);x"
    advice = {"files": {path: {"is_open": False, "fixes": [["remove-file", path]]}}}
    (line,) = inventory(advice, files={path: "file 0644 root:root"})
    assert line.remedy.endswith("rm '/etc/$(reboot);x'")


def test_a_path_that_looks_like_the_rest_of_a_line_is_quoted() -> None:
    path = '/home/eve/.local/bin/x" — stays; remove it yourself: rm -r /etc'
    (line,) = inventory(files={path: "file 0644 eve:eve"})
    assert line.subject == '"/home/eve/.local/bin/x\\" — stays; remove it yourself: rm -r /etc"'
    assert inventory(files={"nightly walk": "x"})[0].subject == "nightly walk"


def test_the_fixes_of_the_host_arrive_with_its_outputs() -> None:
    none: dict[str, Any] = {name: {} for name in MAPS}
    live = {**none, "files": {"/etc/x": "file 0644 root:root"}}
    advice = {"files": {"/etc/x": {"is_open": True, "fixes": [["remove-file", "/etc/x"]]}}}
    stream = Stream().thing("Inventory", "i", none, live, none, outputs={"advice": advice})
    (found,) = stream.report().differences
    assert (found.severity, found.remedy) == ("!!", "stays; remove it yourself: rm /etc/x")


def test_a_network_that_exposure_and_inventory_report_is_one_line() -> None:
    none: dict[str, Any] = {name: {} for name in MAPS}
    found = {"network shop": "bridge", "network empty": "bridge"}
    exposed: dict[str, Any] = {name: {} for name in ("listeners", "published", "passes", "networks")}
    live = {**exposed, "networks": {"shop": 'container "leak"'}}
    stream = Stream().thing("Exposure", "e", exposed, live, exposed)
    assert [d.subject for d in stream.report().differences] == ["network shop"]
    stream.thing("Inventory", "i", none, {**none, "docker": found}, none)
    assert [f"{d.subject}: {d.what}" for d in stream.report().differences] == [
        "network empty: bridge",
        "network shop: bridge",
    ]


def test_a_container_connected_by_hand_is_reported_by_its_own_resource() -> None:
    (line,) = inventory(docker={"member bridge: redis": "was connected by hand"})
    assert (line.topic, line.echo) == ("member bridge: redis", True)


FOLLOWS = {
    ("ContainerState", "container"), ("ContainerState", "container_id"), ("Link", "container"),
    ("Link", "container_id"), ("Service", "reads"), ("Service", "stale"), ("SshServer", "stale"),
}  # fmt: skip
"""Properties that are shown only if no other property differs."""


@pytest.mark.parametrize("case", WORDS["by_hand"], ids=lambda case: case["said"])
def test_no_change_of_the_code_is_hidden_by_another(case: dict[str, Any]) -> None:
    kind, declared = case["kind"], case["declared"]
    if kind == "ContainerState":
        declared = {**declared, "pids": "100", "expects": "healthy"}
    for name, value in declared.items():
        if (kind, name) in FOLLOWS:
            continue
        other = (
            {"another": "x"} if isinstance(value, dict) else not value if isinstance(value, bool) else "other"
        )
        goal = {**declared, "more": "x", name: other}
        found = (
            Stream().thing(kind, "x", declared, declared, goal).thing("File", "y", None, None, {}).report()
        )
        told = {
            detail.path.partition("[")[0].partition(".")[0] for d in found.differences for detail in d.details
        }
        assert {name, "more"} <= told, f"{kind}.{name}: {found.differences}"


def test_a_command_and_the_host_of_a_provider_are_never_hidden() -> None:
    command, provider = "command:local:Command", "pulumi:providers:docker"
    ran = {"create": "a"}
    stream = Stream().thing(command, "probe", ran, ran, {"create": "b", "triggers": ["x"]})
    stream.thing(command, "again", ran, ran, {**ran, "triggers": ["x"]})
    there = {"host": "ssh://web1"}
    stream.thing(provider, "web1", there, there, {"host": "ssh://evil"})
    stream.thing(provider, "web2", None, None, there).thing("File", "motd", None, None, {"path": "/etc/motd"})
    report = stream.report()
    assert [f"{d.subject}: {d.what}" for d in report.differences] == [
        "/etc/motd: new",
        "command probe: create a, declared b; triggers differs",
        "docker web1: host ssh://web1, declared ssh://evil",
    ]
    assert [d.subject for d in report.follows] == ["command again", "docker web2"]


def test_a_change_in_the_code_hides_no_change_by_hand() -> None:
    maps: dict[str, Any] = {"listeners": {}, "published": {}, "passes": {}, "networks": {}}
    live = {**maps, "passes": {"tcp4 9200": "anywhere"}}
    ufw = {"enabled": True, "rules": {}}
    stream = Stream().thing("Exposure", "e", maps, live, maps)
    stream.thing("UfwPolicy", "u", ufw, ufw, {**ufw, "rules": {"in 9200/tcp": "allow"}})
    assert [(d.subject, d.by_hand) for d in stream.report().differences] == [
        ("9200/tcp", True),
        ("ufw", False),
    ]


def test_a_new_acceptance_is_shown() -> None:
    maps: dict[str, Any] = {"listeners": {}, "published": {}, "passes": {}, "networks": {}, "accepted": {}}
    goal = {**maps, "accepted": {"tcp4 0.0.0.0:3306": "the office"}}
    (found,) = Stream().thing("Exposure", "e", maps, maps, goal).report().differences
    assert (found.subject, found.what, found.mine) == ("tcp4 0.0.0.0:3306", "accepted: the office", True)


def test_a_value_of_an_unexpected_form_is_still_shown() -> None:
    ufw: dict[str, Any] = {"enabled": True, "rules": {}}
    for found in ([1], "x", {"in 80/tcp": {}}, {"in 80/tcp": ["allow"]}, 7):
        report = Stream().thing("UfwPolicy", "u", ufw, {**ufw, "rules": found}, ufw).report()
        assert len(report.differences) == 1, found


CERTIFICATE = "tls:index/locallySignedCert:LocallySignedCert"


@pytest.mark.parametrize(
    ("left", "severity", "said"),
    [
        (29.5, "", "ends in 29 days, on {day}"),
        (0.5, "!", "ends within a day, on {day}"),
        (-3.0, "!", "has ended, on {day}"),
    ],
)
def test_a_certificate_that_is_due_says_when_it_ends_and_is_not_by_hand(
    left: float, severity: str, said: str
) -> None:
    ends = datetime.now(UTC) + timedelta(days=left)
    props = {"validityEndTime": ends.isoformat().replace("+00:00", "Z")}
    due = {"readyForRenewal": {"diffKind": "update-replace", "inputDiff": False}}
    stream = Stream().event("resOutputsEvent", "refresh", CERTIFICATE, "web1-redis", props, props, due)
    stream.event("resOutputsEvent", "replace", CERTIFICATE, "web1-redis", props, props, due)
    (found,) = stream.report().differences
    assert (found.severity, found.by_hand, found.mine) == (severity, False, True)
    assert f"{found.subject}: {found.what} — {found.remedy}" == (
        f"certificate web1-redis: {said} — up renews it".format(day=f"{ends:%Y-%m-%d}")
    )


def test_a_certificate_with_an_unknown_end_is_still_due() -> None:
    due = {"readyForRenewal": {"diffKind": "update-replace", "inputDiff": False}}
    stream = Stream().event("resOutputsEvent", "replace", CERTIFICATE, "c", {"validityEndTime": 7}, {}, due)
    assert [one.what for one in stream.report().differences] == ["is due for renewal"]


def accepting(
    before: dict[str, str], goal: dict[str, str], live: dict[str, dict[str, str]]
) -> list[tuple[str, str, bool, bool]]:
    """Return for each line: subject, text, whether the code changed, and whether `up` changes nothing."""
    none: dict[str, Any] = {name: {} for name in MAPS}
    old = {**none, "accepted": before}
    stream = Stream().thing("Inventory", "i", old, {**old, **live}, {**none, "accepted": goal})
    return [(d.subject, d.what, d.mine, d.stays) for d in stream.report().differences]


EVIL = {"files": {"/etc/cron.d/evil": "file 0644 root:root"}}


def test_an_acceptance_is_a_change_in_the_code_and_hides_the_accepted_thing() -> None:
    accept = {"file /etc/cron.d/evil": "tried for a day"}
    key = "file /etc/cron.d/evil"
    assert accepting({}, {}, EVIL) == [("/etc/cron.d/evil", "file 0644 root:root", False, True)]
    assert accepting({}, accept, EVIL) == [(key, "accepted: tried for a day", True, False)]
    assert accepting(accept, {key: "for a year"}, {}) == [(key, "accepted: for a year", True, False)]
    container = {"docker": {"container leak": "nginx:1"}}
    assert accepting({}, {"container leak": "x"}, container) == [
        ("container leak", "accepted: x", True, False)
    ]


def test_an_accepted_thing_that_has_changed_since_is_told() -> None:
    accept = {"file /etc/cron.d/evil": "tried for a day"}
    changed = "file 0666 root:root, changed since it was accepted (file 0644 root:root)"
    live = {"files": {"/etc/cron.d/evil": changed}}
    assert accepting(accept, accept, live) == [("/etc/cron.d/evil", changed, False, True)]
    # Another reason accepts it as it is now.
    key, why = "file /etc/cron.d/evil", "for a year"
    assert accepting(accept, {key: why}, live) == [(key, f"accepted: {why}", True, False)]


def test_an_acceptance_that_was_removed_is_a_change_in_the_code() -> None:
    accept = {"container leak": "tried for a day"}
    unused = {"docker": {"accept container leak": "has no effect: remove it from inventory.accept"}}
    assert accepting(accept, accept, unused) == [
        ("accept container leak", "has no effect: remove it from inventory.accept", False, True)
    ]
    for live in (unused, {}):
        assert accepting(accept, {}, live) == [("container leak", "no longer accepted", True, False)]


def test_up_records_a_machine_without_a_baseline_even_if_all_else_stays() -> None:
    """An `up` without changes does not run. Therefore the missing baseline has to count as a change."""
    told = accepting({}, {}, {"files": {"baseline": NO_BASELINE, **EVIL["files"]}})
    assert told == [
        ("/etc/cron.d/evil", "file 0644 root:root", False, True),
        ("baseline", "not recorded for this machine", False, False),
    ]
    (line,) = inventory(files={"baseline": NO_BASELINE})
    assert line.remedy == "up records what is here"
