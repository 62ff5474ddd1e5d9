"""Tests which differences the report finds in the engine's events.

For each, the report says whether somebody changed the host by hand or changed the code.
"""

from __future__ import annotations

import json

import pytest

from portcullis.cli.report import events
from portcullis.cli.report.differences import Difference, clean, dotted, tidy
from portcullis.components.inventory.facts import MAPS as INVENTORY
from portcullis.provider.changes import UNKNOWN, path_of
from tests.cli.report.streams import CONTAINER, PROVIDER, Stream, drifted, urn

FILE = {"path": "/etc/motd", "content": "one\n", "mode": "0644", "owner": "root", "on_delete": "restore"}


def one(stream: Stream) -> Difference:
    report = stream.report()
    assert report.ok
    assert len(report.differences) == 1, report.differences
    return report.differences[0]


def said(stream: Stream) -> list[str]:
    return [f"{d.severity} {d.subject}: {d.what} — {d.remedy}".strip() for d in stream.report().differences]


LEAK_STAYS = "stays; remove it yourself: docker rm -f leak"


def test_changes_by_hand_are_listed_in_the_order_of_danger() -> None:
    assert said(drifted()) == [
        "!! /etc/sudoers.d/mallory: gives root rights: mallory ALL=(ALL) NOPASSWD: ALL — up removes it",
        '!! deploy: key "evil" added — up removes it',
        "!! forward filter: is not loaded: containers can be reached — up loads it",
        f'!! tcp4 172.17.0.1:3306: published by container "leak" — {LEAK_STAYS}',
        "!! ufw: 9200/tcp allowed — up removes it",
        "! api: container is gone — up starts it",
        "! nginx.service: stopped — up starts it",
    ]


def test_a_difference_that_two_resources_report_is_shown_once() -> None:
    report = drifted().report()
    # The port that ufw opened, and the state of the missing container.
    assert [d.subject for d in report.follows] == ["9200/tcp", "api"]
    assert all(d.by_hand and not d.mine for d in report.differences)


def test_changes_by_hand_and_in_the_code_are_told_apart_by_the_last_up() -> None:
    hand = one(Stream().thing("File", "motd", FILE, {**FILE, "content": "two\n"}, FILE))
    assert (hand.by_hand, hand.mine, hand.remedy) == (True, False, "up fixes it")
    mine = one(Stream().thing("File", "motd", FILE, FILE, {**FILE, "content": "two\n"}))
    assert (mine.by_hand, mine.mine, mine.remedy) == (False, True, "up changes it")
    both = one(Stream().thing("File", "motd", FILE, {**FILE, "content": "two\n"}, {**FILE, "content": "3\n"}))
    assert (both.by_hand, both.mine) == (True, True)


def test_a_change_by_hand_that_the_code_follows_is_no_difference() -> None:
    changed = {**FILE, "content": "two\n"}
    assert Stream().thing("File", "motd", FILE, changed, changed).report().is_clean


def test_changes_by_hand_are_found_for_each_key_of_a_map() -> None:
    before = {"user": "deploy", "keys": {"laptop": "a"}}
    live = {"user": "deploy", "keys": {"laptop": "a", "evil": "b"}}
    goal = {"user": "deploy", "keys": {"laptop": "a", "ci": "c"}}
    report = Stream().thing("User", "deploy", before, live, goal).report()
    assert [(d.what, d.by_hand, d.mine) for d in report.differences] == [
        ('key "evil" added', True, False),
        ('key "ci" declared', False, True),
    ]


def test_an_undeclared_value_that_docker_reads_is_no_difference() -> None:
    api = {"name": "api", "memory": 256}
    stream = Stream()
    stream.event("resOutputsEvent", "refresh", CONTAINER, "api", api, {**api, "dns": []}, {"dns": {}})
    stream.event("resOutputsEvent", "same", CONTAINER, "api", api, api, None)
    assert stream.report().is_clean
    stream.event(
        "resOutputsEvent",
        "update",
        CONTAINER,
        "api",
        {**api, "dns": []},
        {**api, "memory": 512},
        {"memory": {}},
    )
    found = one(stream)
    assert (found.what, found.by_hand, found.mine) == ("memory 256, declared 512", False, True)
    assert [detail.path for detail in found.details] == ["memory"]


def test_a_missing_thing_is_by_hand_and_a_new_thing_is_in_the_code() -> None:
    api = {"name": "api", "memory": 256}
    gone = one(Stream().thing(CONTAINER, "api", api, None, api))
    assert (gone.what, gone.by_hand, gone.mine, gone.host) == ("container is gone", True, False, "web1")
    new = one(Stream().thing(CONTAINER, "api", None, None, api))
    assert (new.what, new.by_hand, new.mine) == ("new container", False, True)


def test_a_container_is_on_the_host_of_its_provider() -> None:
    stream = Stream().thing("pulumi:providers:docker", "any", None, None, {"host": "ssh://web9"})
    provider = f"{urn('pulumi:providers:docker', 'any')}::0f"
    stream.thing(CONTAINER, "api", None, None, {"name": "api"})
    stream.lines = [line.replace(PROVIDER, provider) for line in stream.lines]
    assert [(d.subject, d.host) for d in stream.report().differences] == [("api", "web9")]


def test_a_thing_whose_name_only_up_knows_has_the_name_of_its_resource() -> None:
    new = one(Stream().thing(CONTAINER, "api-container", None, None, {"name": UNKNOWN}))
    assert (new.subject, new.what) == ("api", "new container")
    old = {"name": "api-1", "image": "a"}
    changed = one(Stream().thing(CONTAINER, "api-container", old, old, {"name": UNKNOWN, "image": "b"}))
    assert (changed.subject, changed.what) == ("api-1", "image a, declared b")
    assert one(Stream().thing("File", "motd", None, None, {"path": UNKNOWN})).subject == "motd"


def test_a_replacement_is_one_line_for_any_steps_in_any_order() -> None:
    old, new = (
        {"name": "api", "image": "a", "envs": ["A=1", "B=2"]},
        {"name": "api", "image": "b", "envs": ["A=3"]},
    )
    paths = {"image": {}, "envs": {}}
    for order in (
        ("delete-replaced", "create-replacement", "replace"),
        ("create-replacement", "delete-replaced"),
    ):
        stream = Stream()
        for op in order:
            sides = (old, None) if op == "delete-replaced" else (old, new)
            stream.event("resourcePreEvent", op, CONTAINER, "api", *sides, paths)
        found = one(stream)
        assert found.what == "environment differs in A, B; image a, declared b"
        assert found.remedy == "up replaces it"


def test_of_many_log_files_a_jail_names_those_that_differ() -> None:
    logs = [f"/var/log/nginx/{name}.example.com.error.log" for name in ("api", "shop", "www")]
    sides = [{"jail": "nginx", "options": {"logpath": " ".join(some)}} for some in (logs[:2], logs[1:])]
    found = one(Stream().thing("Fail2banJail", "nginx", sides[0], sides[0], sides[1]))
    assert found.what == f"logpath has {logs[0]}, lacks {logs[2]}"


def test_a_variable_is_named_although_another_one_is_a_secret() -> None:
    """The engine hides the whole list of a container. The container's state has the variables in clear."""
    live = {"name": "api", "envs": "[secret]"}
    stream = Stream()
    stream.event("resourcePreEvent", "replace", CONTAINER, "api-container", live, live, {"envs[0]": {}})
    alone = one(stream)
    assert (alone.what, alone.remedy) == ("environment differs", "up replaces it")
    state = {"item": "api", "container": "api", "environment": {"A": "1"}}
    after = {**state, "environment": {"A": "2"}, "container_id": UNKNOWN}
    found = one(stream.thing("ContainerState", "api-state", state, state, after))
    assert (found.subject, found.what, found.remedy) == ("api", "environment differs in A", "up replaces it")


@pytest.mark.parametrize(
    ("on_delete", "remedy", "stays"),
    [
        ("restore", "up restores what was there before", False),
        ("remove", "up removes it", False),
        ("keep", "stays on the host", True),
    ],
)
def test_the_remedy_of_a_removed_resource_follows_on_delete(on_delete: str, remedy: str, stays: bool) -> None:  # noqa: FBT001
    found = one(
        Stream().thing(
            "File", "motd", {**FILE, "on_delete": on_delete}, {**FILE, "on_delete": on_delete}, None
        )
    )
    assert (found.remedy, found.stays, found.mine) == (remedy, stays, True)


def test_a_removed_volume_loses_its_data() -> None:
    volume = {"name": "redis"}
    found = one(Stream().thing("docker:index/volume:Volume", "redis", volume, volume, None))
    assert (found.severity, found.what) == ("!!", "no longer declared: its data will be lost")


def test_a_difference_that_only_follows_is_counted_and_not_shown() -> None:
    unit = {
        "unit": "nginx.service",
        "active": "active",
        "enabled": "enabled",
        "reads": {"a": "1"},
        "stale": False,
    }
    stale = {**unit, "stale": True}
    file = {**FILE, "path": "/etc/nginx/nginx.conf"}
    stream = Stream().thing("File", "conf", file, {**file, "content": "x"}, file)
    stream.thing("Service", "nginx", unit, stale, {**unit, "reads": {"a": UNKNOWN}})
    report = stream.report()
    assert [d.subject for d in report.differences] == ["/etc/nginx/nginx.conf"]
    assert [d.subject for d in report.follows] == ["nginx.service"]
    alone = one(Stream().thing("Service", "nginx", unit, stale, unit))
    assert alone.what == "runs on older files than those on the host"


def test_a_secret_is_replaced_by_a_placeholder_and_its_change_still_shows() -> None:
    mark = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "[secret]"}
    secret = {**FILE, "content": mark, "secret": True, "mode": "0400"}
    stream = Stream()
    stream.event("resOutputsEvent", "update", "portcullis:index:File", "pw", secret, secret, {"content": {}})
    found = one(stream)
    assert (found.what, found.section) == ("text differs", 2)
    assert (found.details[0].live, found.details[0].goal) == ("a secret", "a secret")
    opened = one(Stream().thing("File", "pw", secret, {**secret, "mode": "0444"}, secret))
    assert opened.severity == "!!"


def test_a_changed_output_is_a_difference_even_if_no_resource_differs() -> None:
    stream = (
        Stream().thing("File", "motd", FILE, FILE, FILE).outputs({"sites": {}}, {"sites": {"a": "https://a"}})
    )
    assert said(stream) == ["outputs: sites differ — up writes them"]
    assert Stream().outputs({"a": 1}, {"a": UNKNOWN}).report().is_clean


def test_an_error_that_every_resource_of_a_host_reports_is_shown_once() -> None:
    stream = Stream()
    for name in ("a", "b", "c"):
        said = f'web1: File "{name}" (/etc/{name}): nothing answers at 203.0.113.10\n  → is it up?'
        stream.said(
            f"Preview failed: refreshing {urn('portcullis:index:File', name)}: 1 error occurred:\n"
            f"    * {said}\n\n"
        )
    stream.said("preview failed")
    assert stream.report().errors == ("web1: nothing answers at 203.0.113.10\n  → is it up?",)


def test_an_error_names_a_resource_and_keeps_the_command_that_needs_its_urn() -> None:
    """The engine of Pulumi refuses to delete a protected resource with this message."""
    stream, volume = Stream(), urn("docker:index/volume:Volume", "web1.redis-volume-redis-data")
    stream.said(
        f'resource "{volume}" cannot be deleted\nbecause it is protected. To unprotect the resource, use the '
        f"command:\n`pulumi state unprotect '{volume}'`"
    )
    (error,) = stream.report().errors
    first, *_, last = error.splitlines()
    assert first == 'resource "web1.redis-volume-redis-data" cannot be deleted'
    assert last == f"`pulumi state unprotect '{volume}'`"


def test_an_error_of_the_docker_plugin_is_shown_without_its_count() -> None:
    stream = Stream()
    stream.said('1 error occurred:\n\t* Unable to create container: "/redis" is already in use\n\n\n')
    stream.said("1 error occurred")
    assert stream.report().errors == ('Unable to create container: "/redis" is already in use',)


def test_an_error_that_the_official_docker_plugin_also_logs_is_shown_once() -> None:
    """The texts are those of docker 5.2.0 about a container that exists but does not start."""
    stream, container = Stream(), urn("docker:index/container:Container", "api")
    why = "Unable to start container: Error response from daemon: error setting rlimit type 7"
    stream.said(f"  sdk-v2/provider2.go:571: sdk.helper_schema: {why}: provider=docker@5.2.0\n")
    stream.said(f"1 error occurred:\n\t* creating {container}: 1 error occurred:\n\t* {why}\n\n\n\n")
    assert stream.report().errors == (why,)


def test_faults_of_settings_are_shown_alone() -> None:
    fault = 'The settings of this stack have a fault:\n  portcullis:hosts.web1.os: "x" is none'
    stream = (
        Stream()
        .said(fault)
        .said("resource plugin docker exited")
        .said("using pulumi-resource-x from $PATH at /x", "warning")
    )
    report = stream.report()
    assert report.errors == (fault,)
    assert report.warnings == ()


def test_a_warning_about_a_thing_that_stays_is_left_out() -> None:
    exposure = {"listeners": {}, "published": {}, "passes": {}, "networks": {}}
    live = {**exposure, "listeners": {"tcp4 0.0.0.0:9": 'process "nc" (root)'}}
    stream = Stream().thing("Exposure", "e", exposure, live, exposure)
    event = {"message": "undeclared", "severity": "warning", "urn": urn("portcullis:index:Exposure", "e")}
    stream.lines.append(json.dumps({"diagnosticEvent": event}))
    stream.said("a certificate ends soon", "warning", "x")
    assert stream.report().warnings == ("a certificate ends soon",)


def test_a_warning_about_a_thing_of_another_line_is_left_out() -> None:
    inventory = {name: {} for name in INVENTORY}
    exposure = {"listeners": {}, "published": {}, "passes": {}, "networks": {}}
    leak = {**inventory, "docker": {"container leak": "hello:1"}}
    live = {**exposure, "published": {"tcp4 172.17.0.1:3306": 'container "leak"'}}
    stream = Stream().thing("Inventory", "i", inventory, leak, inventory)
    stream.thing("Exposure", "e", exposure, live, exposure)
    event = {"message": "undeclared", "severity": "warning", "urn": urn("portcullis:index:Exposure", "e")}
    stream.lines.append(json.dumps({"diagnosticEvent": event}))
    report = stream.report()
    assert [d.subject for d in report.differences] == ["container leak"]
    assert report.warnings == ()


def test_no_text_from_a_host_controls_the_terminal() -> None:
    user = {"user": "deploy", "keys": {}}
    evil = "a\x1b[2K\r\u202eb\nc"
    found = one(Stream().thing("User", "deploy", user, {**user, "keys": {evil: "x"}}, user))
    assert found.what.isprintable()
    assert found.subject.isprintable()
    assert clean("a\tb") == "a b"
    assert clean("::stop-commands::x") == "\ufffd::stop-commands::x"
    assert tidy("first\x1b[31m\n  second") == "first�[31m\n  second"


def test_paths_are_read_as_the_engine_writes_them() -> None:
    assert path_of('keys["a.b"]') == ("keys", "a.b")
    assert path_of("mounts[0].target") == ("mounts", "0", "target")
    assert path_of(r'rules["say \"x\""]') == ("rules", 'say "x"')
    assert path_of(r'files["/home/eve/a\b\\"c\"]"][0]') == ("files", r'/home/eve/a\b\"c"]', "0")
    assert dotted(("rules", "in 80/tcp")) == 'rules["in 80/tcp"]'
    # A name cannot end the quotes.
    assert dotted(("files", '/x"] .[y')) == r'files["/x\"] .[y"]'


def test_a_line_without_an_event_is_left_out() -> None:
    assert events.read("Updating (prod)") is None
    assert events.read("[1]") is None
    assert events.read('{"sequence": 1, "cancelEvent": {}}') is None


def test_a_deeply_nested_line_is_no_event() -> None:
    assert events.read("[" * 100_000) is None
