from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pulumi
import pytest
from pulumi.output import Unknown

from portcullis.components.users.resource.administrators import AdministratorsProvider
from portcullis.host.errors import AgentRefused, HostError
from portcullis.host.provider import message_of_current_exception, stack_of
from portcullis.host.session import refusal
from portcullis.resources.directory.resource import DirectoryProvider
from portcullis.resources.file import resource as file_resource
from portcullis.resources.file.resource import MAX_CONTENT, FileProvider
from portcullis.resources.packages.resource import PackagesProvider
from portcullis.resources.service.resource import ServiceProvider
from portcullis.resources.tree.resource import TreeProvider, manifest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.canned import CannedChannel

URN = "urn:pulumi:lab::portcullis::portcullis:index:Host$portcullis:index:File::motd"
FILE = {
    "host": "web1", "managed_by": URN, "path": "/etc/motd", "content": "hello\n", "owner": "root",
    "group": "root", "mode": "0644", "on_delete": "restore",
}  # fmt: skip
FACTS = {
    "exists": True,
    "content": "hello\n",
    "owner": "root",
    "group": "root",
    "mode": "0644",
    "revision": "7",
}


def survey_answer(facts: dict[str, Any]) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    def answer(op: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if op == "survey":
            return {"items": [{**item, "facts": facts} for item in arguments["items"]]}
        return {"facts": facts, "steps": []}

    return answer


def test_check_brings_inputs_into_their_normal_form() -> None:
    checked = FileProvider().check({}, {**FILE, "mode": "600", "validate": None, "secret": False})
    assert checked.failures == []
    assert checked.inputs == {**FILE, "mode": "0600"}


def test_check_names_every_fault_at_once() -> None:
    news = {**FILE, "path": "etc/../motd", "mode": "999", "on_delete": "burn", "validate": ["true"]}
    found = {failure.property for failure in FileProvider().check({}, news).failures}
    assert found == {"path", "mode", "on_delete", "validate"}


def test_a_large_file_is_pointed_to_tree() -> None:
    (failure,) = FileProvider().check({}, {**FILE, "content": "x" * (MAX_CONTENT + 1)}).failures
    assert "Tree" in failure.reason


def test_check_accepts_unknown_values() -> None:
    checked = FileProvider().check({}, {**FILE, "content": Unknown()})
    assert checked.failures == []
    assert isinstance(checked.inputs["content"], Unknown)


def test_diff_replaces_only_if_the_identity_changed() -> None:
    changed = FileProvider().diff("id", FILE, {**FILE, "content": "new"})
    assert (changed.changes, changed.replaces) == (None, [])
    moved = FileProvider().diff("id", FILE, {**FILE, "path": "/etc/issue"})
    assert (moved.changes, moved.replaces, moved.delete_before_replace) == (None, ["path"], True)


def test_an_unknown_identity_is_no_replacement() -> None:
    assert FileProvider().diff("id", FILE, {**FILE, "path": Unknown()}).replaces == []


def test_read_returns_drift_as_inputs_and_outputs(canned: Callable[..., CannedChannel]) -> None:
    canned(survey_answer({**FACTS, "content": "tampered\n", "mode": "0600"}))
    found = FileProvider().read("web1:/etc/motd", {**FILE, "revision": "7"})
    assert found.inputs == {**FILE, "content": "tampered\n", "mode": "0600"}
    assert found.outs == {**found.inputs, "revision": "7"}


def test_texts_of_a_host_are_made_printable_and_our_own_stay_unchanged(
    canned: Callable[..., CannedChannel],
) -> None:
    evil = "\x1b]52;c;eA==\x07<{%fg 1%}>\n::stop-commands::x\n"
    canned(survey_answer({**FACTS, "content": evil}))
    shown = FileProvider().read("x", FILE)
    assert shown.inputs["content"] == shown.outs["content"]
    assert shown.inputs["content"] == "\ufffd]52;c;eA==\ufffd<\ufffd{%fg 1%}>\n\ufffd::stop-commands::x\n"
    canned(survey_answer({**FACTS, "content": evil}))
    assert FileProvider().read("x", {**FILE, "content": evil}).inputs["content"] == evil


def test_a_removed_thing_is_drift_and_stays_in_the_state(
    canned: Callable[..., CannedChannel],
) -> None:
    canned(survey_answer({"exists": False}))
    found = FileProvider().read("x", FILE)
    assert found.id == "x"
    assert found.inputs == {
        **{k: v for k, v in FILE.items() if k != "revision"},
        "content": "<absent>",
        "mode": "<absent>",
    }


def test_an_unreadable_thing_is_not_absent(canned: Callable[..., CannedChannel]) -> None:
    def answer(_op: str, arguments: dict[str, Any]) -> dict[str, Any]:
        error = {"code": "unreadable", "message": "Input/output error"}
        return {"items": [{**item, "error": error} for item in arguments["items"]]}

    canned(answer)
    with pytest.raises(AgentRefused, match=r'^web1: File "motd" \(/etc/motd\): Input/output error'):
        FileProvider().read("x", FILE)


def test_one_request_answers_every_read(canned: Callable[..., CannedChannel]) -> None:
    def answer(_op: str, arguments: dict[str, Any]) -> dict[str, Any]:
        assert arguments["index"] is True
        known = [{"kind": "file", "id": p, "spec": {"path": p}, "facts": FACTS} for p in ("/a", "/b", "/c")]
        return {"items": known}

    channel = canned(answer)
    for path in ("/a", "/b", "/c"):
        FileProvider().read("x", {**FILE, "path": path})
    assert len(channel.sent) == 1


def test_an_item_that_the_hosts_list_lacks_gets_its_own_request(canned: Callable[..., CannedChannel]) -> None:
    channel = canned(survey_answer(FACTS))
    FileProvider().read("x", {**FILE, "path": "/a"})
    FileProvider().read("x", {**FILE, "path": "/b"})
    assert [arguments["index"] for _, arguments in channel.sent] == [True, False]


def test_a_write_is_followed_by_a_fresh_read(canned: Callable[..., CannedChannel]) -> None:
    channel = canned(survey_answer(FACTS))
    FileProvider().read("x", FILE)
    FileProvider().update("x", FILE, FILE)
    FileProvider().read("x", FILE)
    assert [op for op, _ in channel.sent] == ["survey", "put", "survey"]


def test_create_returns_full_outputs(canned: Callable[..., CannedChannel]) -> None:
    channel = canned(survey_answer(FACTS))
    made = FileProvider().create({**FILE})
    assert made.id == "web1:/etc/motd"
    assert made.outs == {**FILE, "revision": "7"}
    ((op, sent),) = channel.sent
    assert op == "put"
    assert (sent["stack"], sent["owner"], sent["adopt"], sent["write"]) == (
        "portcullis/lab",
        URN,
        False,
        True,
    )
    assert not {"host", "managed_by", "adopt"} & set(sent["desired"])


def test_delete_names_its_owner(canned: Callable[..., CannedChannel]) -> None:
    channel = canned(lambda _op, _arguments: {"done": "restored"})
    FileProvider().delete("x", {**FILE, "revision": "7"})
    ((op, sent),) = channel.sent
    assert (op, sent["owner"]) == ("remove", URN)
    assert "revision" not in sent["desired"]


def test_an_exception_is_one_message_without_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        raise refusal({"code": "apt", "message": "no such package"})
    except HostError:
        assert message_of_current_exception() == "no such package"
    try:
        {}["hunter2"]
    except KeyError:
        text = message_of_current_exception()
        monkeypatch.setenv("PORTCULLIS_DEBUG", "1")
        debugged = message_of_current_exception()
    assert "hunter2" not in text
    assert "KeyError at test_provider.py" in text
    assert "Traceback" in debugged


def test_the_stack_is_part_of_the_owner() -> None:
    assert stack_of({"managed_by": URN}) == "portcullis/lab"


def test_packages_are_a_map_so_that_a_new_one_is_one_line(canned: Callable[..., CannedChannel]) -> None:
    props = {
        "host": "web1",
        "managed_by": URN,
        "packages": {"nginx": "installed"},
        "on_delete": "purge",
        "revision": "1",
    }
    channel = canned(survey_answer({"exists": True, "packages": {}, "revision": "1"}))
    found = PackagesProvider().read("x", props)
    assert found.inputs is not None
    assert found.inputs["packages"] == {}
    assert channel.sent[0][1]["items"][0]["spec"] == {"names": ["nginx"]}
    (failure,) = PackagesProvider().check({}, {**props, "packages": {"bad name": "installed"}}).failures
    assert failure.property == "packages"


def test_a_service_reads_back_stale(canned: Callable[..., CannedChannel]) -> None:
    props = {
        "host": "web1", "managed_by": URN, "unit": "nginx.service", "active": "active", "enabled": "enabled",
        "reads": {"/etc/nginx/x": "1", "packages nginx": "2"}, "on_change": "reload", "stale": False,
    }  # fmt: skip
    assert ServiceProvider().check({}, props).inputs == props
    channel = canned(survey_answer({"exists": True, "active": "active", "enabled": "enabled", "stale": True}))
    found = ServiceProvider().read("x", props)
    assert found.inputs == {**props, "stale": True}
    assert channel.sent[0][1]["items"][0]["spec"]["reads"] == ["/etc/nginx/x"]
    bad = {**props, "unit": "nginx", "enabled": "masked"}
    assert {f.property for f in ServiceProvider().check({}, bad).failures} == {"unit", "enabled"}


def test_directory_checks_mode() -> None:
    props = {
        "host": "h",
        "managed_by": URN,
        "path": "/srv/",
        "owner": "a",
        "group": "b",
        "mode": "0755",
        "on_delete": "x",
    }
    assert {f.property for f in DirectoryProvider().check({}, props).failures} == {"path", "on_delete"}


def test_a_tree_sends_only_what_the_host_lacks(
    canned: Callable[..., CannedChannel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site" / "js").mkdir(parents=True)
    (tmp_path / "site" / "index.html").write_text("<p>")
    (tmp_path / "site" / "js" / "a.js").write_bytes(b"\xff" * 300_000)
    monkeypatch.chdir(tmp_path)
    files = manifest("site")
    assert sorted(files) == ["index.html", "js/a.js"]
    blobs: list[dict[str, Any]] = []

    def answer(op: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if op == "tree-missing":
            return {"missing": [files["js/a.js"]]}
        if op == "blob":
            blobs.append(arguments)
            return {}
        return {"facts": {"exists": True, "files": files, "owner": "root", "group": "root", "revision": "1"}}

    canned(answer)
    props = {
        "host": "web1", "managed_by": URN, "path": "/srv/www", "source": "site", "files": files,
        "owner": "root", "group": "root", "on_delete": "remove",
    }  # fmt: skip
    TreeProvider().create(props)
    assert b"".join(base64.b64decode(b["data"]) for b in blobs) == b"\xff" * 300_000
    assert [b["last"] for b in blobs] == [False, True]
    (tmp_path / "site" / "js" / "a.js").write_text("other")
    with pytest.raises(HostError, match="changed while the program ran"):
        TreeProvider().create(props)


def test_a_tree_refuses_links(tmp_path: Path) -> None:
    (tmp_path / "x").symlink_to("/etc/passwd")
    with pytest.raises(ValueError, match="plain files only"):
        manifest(tmp_path)


def test_our_text_for_unknown_values_is_that_of_the_sdk() -> None:
    assert isinstance(Unknown(), Unknown)
    assert pulumi.runtime.rpc.UNKNOWN


@pytest.mark.parametrize(
    "content",
    [
        "<absent>",
        "<120000 bytes, too large to show>",
        "<12 bytes that are not UTF-8 text>",
        "<symbolic link to /x>",
        "<a directory>",
    ],
)
def test_the_placeholder_of_a_content_is_never_written(content: str) -> None:
    (failure,) = FileProvider().check({}, {**FILE, "content": content}).failures
    assert failure.property == "content"
    assert FileProvider().check({}, {**FILE, "content": content + "\n"}).failures == []


def test_packages_under_another_urn_name_their_former_owner(canned: Callable[..., CannedChannel]) -> None:
    old = {"host": "web1", "managed_by": URN, "packages": {"ed": "installed"}, "on_delete": "remove"}
    new = {**old, "managed_by": URN.replace("motd", "moved")}
    channel = canned(survey_answer({"exists": True, "packages": {"ed": "installed"}, "revision": "1"}))
    assert PackagesProvider().update("x", old, new).outs == {**new, "revision": "1"}
    PackagesProvider().update("x", new, new)
    sent = [arguments for op, arguments in channel.sent if op == "put"]
    assert [arguments["former"] for arguments in sent] == [URN, ""]
    assert [arguments["item"] for arguments in sent] == [new["managed_by"]] * 2
    assert sent[0]["desired"] == {
        "managed_by": new["managed_by"], "packages": {"ed": "installed"}, "on_delete": "remove",
        "never_purge": [], "recommends": False,
    }  # fmt: skip


def test_an_owner_declared_by_number_is_read_by_number(canned: Callable[..., CannedChannel]) -> None:
    canned(survey_answer({**FACTS, "owner": "redis", "owner_id": "999", "group_id": "0"}))
    found = FileProvider().read("x", {**FILE, "owner": "999"})
    assert found.inputs is not None
    assert (found.inputs["owner"], found.inputs["group"]) == ("999", "root")


def test_a_thing_to_import_is_read_into_complete_inputs(canned: Callable[..., CannedChannel]) -> None:
    channel = canned(survey_answer({**FACTS, "mode": "0604", "revision": ""}))
    found = FileProvider().import_("web1:/etc/motd", URN)
    assert found is not None
    assert found.id == "web1:/etc/motd"
    assert found.inputs == {**FILE, "mode": "0604"}
    assert found.outs == {**found.inputs, "revision": ""}
    assert [op for op, _ in channel.sent] == ["survey"]


def test_a_thing_with_control_characters_cannot_be_imported(
    canned: Callable[..., CannedChannel],
) -> None:
    canned(survey_answer({**FACTS, "content": "family \U0001f468\u200d\U0001f467\n"}))
    with pytest.raises(
        HostError, match=r"motd.*characters that are not safe to print\n  → declare it with adopt"
    ):
        FileProvider().import_("web1:/etc/motd", URN)


def test_a_missing_thing_cannot_be_imported(canned: Callable[..., CannedChannel]) -> None:
    canned(survey_answer({"exists": False}))
    assert FileProvider().import_("web1:/etc/motd", URN) is None


@pytest.mark.parametrize(
    ("provider", "id_", "said"),
    [
        (FileProvider(), "/etc/motd", "'/etc/motd' is not a valid id for an import"),
        (TreeProvider(), "web1:/srv/www", "Tree cannot be imported\n  → declare it with adopt=True"),
        (PackagesProvider(), "web1:nginx", "Packages cannot be imported\n  → declare the set: it takes over"),
    ],
)
def test_a_kind_that_cannot_be_imported_gives_a_hint(provider: Any, id_: str, said: str) -> None:
    with pytest.raises(HostError, match=said):
        provider.import_(id_, URN)


def test_a_set_may_be_given_as_a_list() -> None:
    news = {"host": "web1", "managed_by": URN, "users": ["deploy"], "files": [Unknown()]}
    inputs = AdministratorsProvider().check({}, news).inputs
    assert inputs["users"] == {"deploy": "declared"}
    assert isinstance(inputs["files"], Unknown)


@pytest.mark.parametrize(
    ("provider", "given", "fault"),
    [
        (DirectoryProvider(), {"make_parents": 7}, "make_parents: must be true or false"),
        (
            PackagesProvider(),
            {"packages": {"ed": "installed"}, "never_purge": ["ed", 1]},
            "never_purge: must be a list of texts",
        ),
        (PackagesProvider(), {"packages": {"ed": "installed"}, "never_purge": [Unknown(), 1]}, ""),
        (ServiceProvider(), {"unit": "x.service", "reads": {"/etc/x": 1}}, "reads: must be a map of texts"),
        (FileProvider(), {**FILE, "content": 7}, "content: must be a text"),
    ],
)
def test_a_value_of_another_type_is_refused_in_a_preview(
    provider: Any, given: dict[str, Any], fault: str
) -> None:
    """If `check` accepted the value, `up` would report that another version wrote the state."""
    defaults = {"path": "/srv/x", "owner": "root", "group": "root", "mode": "0755", "on_delete": "remove"}
    service = {"active": "active", "enabled": "enabled", "on_change": "reload"}
    news = {"host": "web1", "managed_by": URN, **defaults, **service, **given}
    assert [f"{one.property}: {one.reason}" for one in provider.check({}, news).failures] == [fault] * bool(
        fault
    )


@pytest.mark.parametrize("mode", ["0999", "<absent>", "\u0667\u0667\u0667", ""])
def test_an_invalid_mode_counts_as_closed(mode: str) -> None:
    assert not file_resource._is_open(mode)
