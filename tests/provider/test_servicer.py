from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any, cast

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from pulumi.output import Unknown
from pulumi.runtime.proto import provider_pb2

from portcullis.host.errors import AgentRefused
from portcullis.provider.base import import_kinds, kinds
from portcullis.provider.servicer import Servicer
from portcullis.provider.values import from_struct, to_struct
from tests.canned import until

if TYPE_CHECKING:
    from tests.provider.conftest import Engine, Host

import_kinds()

URN = "urn:pulumi:lab::web::portcullis:index:File::it"
FILE = {
    "host": "web1", "managed_by": URN, "path": "/etc/motd", "content": "hello\n", "owner": "root",
    "group": "root", "mode": "0644", "on_delete": "restore",
}  # fmt: skip
FACTS = {
    "exists": True, "content": "hello\n", "owner": "root", "group": "root", "mode": "0644", "revision": "7",
}  # fmt: skip
Diff = provider_pb2.DiffResponse


def message(caught: pytest.ExceptionInfo[grpc.RpcError]) -> str:
    return str(caught.value.details())


def test_values_survive_the_way_over_the_wire() -> None:
    given = {"a": [1, 1.5, True, "x", {"b": []}], "c": {}, "d": ""}
    assert from_struct(to_struct({**given, "none": None, "deep": {"none": None}})) == {**given, "deep": {}}
    assert isinstance(from_struct(to_struct({"a": [Unknown()]}))["a"][0], Unknown)


def test_no_setting_of_the_program_is_in_the_state(engine: Engine) -> None:
    news = to_struct({"hosts": '{"web1": {"address": "203.0.113.10"}}'})
    answer = engine.stub.CheckConfig(provider_pb2.CheckRequest(news=news))
    assert not answer.inputs.fields
    asked = provider_pb2.DiffRequest(news=news)
    assert engine.stub.DiffConfig(asked).changes == Diff.DIFF_NONE


def test_previews_change_nothing_and_secrets_are_marked_by_the_engine(engine: Engine) -> None:
    answer = engine.stub.Configure(provider_pb2.ConfigureRequest())
    assert (answer.acceptSecrets, answer.supportsPreview) == (False, False)
    with pytest.raises(grpc.RpcError) as refused:
        engine.stub.Handshake(provider_pb2.ProviderHandshakeRequest())
    assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_check_normalises_inputs_and_keeps_unknown_values(engine: Engine) -> None:
    inputs, failures = engine.check("File", **{**FILE, "mode": "600", "content": Unknown()})
    assert failures == {}
    assert isinstance(inputs.pop("content"), Unknown)
    assert inputs == {key: value for key, value in {**FILE, "mode": "0600"}.items() if key != "content"}


def test_check_reports_all_faults_at_once(engine: Engine) -> None:
    wrong = {**FILE, "path": "etc/../motd", "mode": "999", "on_delete": "burn"}
    _, failures = engine.check("File", **wrong)
    assert set(failures) == {"path", "mode", "on_delete"}


def test_the_owner_of_a_thing_comes_from_the_engine(engine: Engine) -> None:
    given = {key: value for key, value in FILE.items() if key != "managed_by"}
    assert engine.check("File", **given) == (FILE, {})
    assert engine.check("File", **given, managed_by="another") == (FILE, {})


def test_diff_leaves_changes_to_the_engine_and_replaces_on_a_new_path(engine: Engine) -> None:
    changed = engine.diff("File", FILE, **{**FILE, "content": Unknown()})
    assert (changed.changes, list(changed.replaces)) == (Diff.DIFF_UNKNOWN, [])
    moved = engine.diff("File", FILE, **{**FILE, "path": "/etc/issue"})
    assert (list(moved.replaces), moved.deleteBeforeReplace) == (["path"], True)
    kept = engine.diff("GeneratedSecret", {"length": 40, "rotate": "a"}, length=50, rotate="a")
    assert kept.changes == Diff.DIFF_NONE


def test_a_state_of_an_earlier_version_shows_no_renamed_property(engine: Engine, host: Host) -> None:
    values = {
        "host": "web1", "managed_by": URN, "unit": "nginx.service", "probes": {}, "reads": {}, "sites": {},
        "accepted": {}, "broken": "", "stale": False,
    }  # fmt: skip
    former, present = {**values, "strangers": {}}, {**values, "undeclared": {}}
    assert engine.diff("ServedSites", former, **present).changes == Diff.DIFF_NONE
    in_a_refresh = engine.diff("ServedSites", present, **former)
    assert in_a_refresh.changes == Diff.DIFF_NONE
    found_file = {**present, "undeclared": {"/etc/nginx/x": "nobody declared it"}}
    assert engine.diff("ServedSites", former, **found_file).changes == Diff.DIFF_UNKNOWN
    host.facts = {name: present[name] for name in ("sites", "broken", "stale", "undeclared")}
    host.facts |= {"exists": True, "fixes": {}}
    found = engine.read("ServedSites", "web1:nginx.service", **former, fixes={})
    assert from_struct(found.inputs) == present
    assert from_struct(found.properties) == {**present, "fixes": {}}


@pytest.mark.usefixtures("host")
def test_create_read_update_and_delete(engine: Engine, host: Host) -> None:
    assert engine.create("File", **FILE) == ("web1:/etc/motd", {**FILE, "revision": "7"})
    host.facts = {**FACTS, "content": "by hand\n"}
    found = engine.read("File", "web1:/etc/motd", **FILE, revision="7")
    assert from_struct(found.inputs) == {**FILE, "content": "by hand\n"}
    assert from_struct(found.properties) == {**FILE, "content": "by hand\n", "revision": "7"}
    host.facts = {**FACTS, "revision": "8"}
    assert engine.update("File", FILE, **FILE) == {**FILE, "revision": "8"}
    engine.delete("File", **FILE, revision="8")
    assert [op for op, _ in host.sent] == ["put", "survey", "put", "remove"]
    assert host.sent[-1][1]["owner"] == URN


def test_a_thing_without_state_is_imported(engine: Engine, host: Host) -> None:
    found = engine.read("File", "web1:/etc/motd")
    assert (found.id, from_struct(found.inputs)) == ("web1:/etc/motd", FILE)
    host.facts = {"exists": False}
    gone = engine.read("File", "web1:/etc/issue")
    assert (gone.id, gone.HasField("properties")) == ("", False)


def test_an_impossible_import_is_one_message(engine: Engine) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        engine.read("GeneratedSecret", "a-secret")
    assert message(refused).startswith("GeneratedSecret cannot be imported: the secret would be visible")
    assert "a-secret" not in message(refused)


def test_an_error_of_a_host_is_its_message(engine: Engine, host: Host) -> None:
    host.error = AgentRefused("nginx", "nginx -t refuses the new content", hint="correct it", detail="line 3")
    with pytest.raises(grpc.RpcError) as refused:
        engine.create("File", **FILE)
    assert message(refused) == (
        'web1: File "it" (/etc/motd): nginx -t refuses the new content\n    line 3\n  → correct it'
    )


def test_a_fault_of_our_own_is_one_message_without_a_value(engine: Engine, host: Host) -> None:
    host.error = ValueError("hunter2")
    with pytest.raises(grpc.RpcError) as refused:
        engine.create("File", **FILE)
    assert message(refused).startswith("a fault in Portcullis itself: ValueError at conftest.py:")
    assert "hunter2" not in message(refused)
    assert "Traceback" not in message(refused)


def test_a_kind_of_an_earlier_version_leaves_the_state_without_a_connection(engine: Engine) -> None:
    props = {"host": "nowhere", "program": "mongo", "features": {"avx": "present"}, "managed_by": URN}
    found = engine.read("Cpu", "nowhere:mongo", **props)
    assert (found.id, found.HasField("properties")) == ("", False)
    engine.delete("Cpu", **props)


def test_an_unknown_type_is_one_message(engine: Engine) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        engine.check("Fil", host="web1")
    assert message(refused).startswith(
        "there is no resource type portcullis:index:Fil; did you mean portcullis:index:File?\n"
        "  → known types:"
    )


def test_a_call_without_a_type_uses_the_urn(engine: Engine) -> None:
    urn = "urn:pulumi:lab::web::portcullis:index:HardenedHost$portcullis:index:File::it"
    answer = engine.stub.Check(provider_pb2.CheckRequest(urn=urn, news=to_struct(FILE)))
    assert not answer.failures


def test_cancel_finishes_running_changes_and_refuses_new_ones(engine: Engine, host: Host) -> None:
    host.held = threading.Event()
    change = engine.creating("File", **FILE)
    assert host.asked.wait(60)
    engine.cancel()
    assert not engine.closed.wait(0.2), "the connections were closed under a change"
    with pytest.raises(grpc.RpcError) as refused:
        engine.create("File", **FILE)
    assert (refused.value.code(), message(refused)) == (grpc.StatusCode.CANCELLED, "cancelled")
    host.held.set()
    assert change.result().id == "web1:/etc/motd"
    assert engine.closed.wait(60)


def test_cancel_ends_reads_at_once(engine: Engine, host: Host) -> None:
    host.held, host.error = threading.Event(), AgentRefused("x", "the deploy has been cancelled")
    read = engine.reading("File", **FILE)
    assert host.asked.wait(60)
    engine.cancel()
    assert engine.closed.wait(60)
    host.held.set()
    assert (read.code(), read.details()) == (grpc.StatusCode.UNKNOWN, "cancelled")
    engine.cancel()


def test_no_change_begins_after_a_simultaneous_cancel() -> None:
    """A cancel may arrive just before the service counts a change as running."""
    servicer = Servicer(lambda: None)
    servicer.Cancel(None, cast("Any", None))
    with pytest.raises(Exception, match="cancelled"), servicer._writing():
        pytest.fail("it began")


def test_calls_to_many_hosts_run_at_once(engine: Engine, host: Host) -> None:
    host.held = threading.Event()
    changes = [engine.creating("File", **{**FILE, "host": f"web{n}"}) for n in range(40)]
    until(lambda: len(host.sent) == len(changes))
    host.held.set()
    assert len({change.result().id for change in changes}) == len(changes)


def test_the_plugin_has_a_version_and_a_schema(engine: Engine) -> None:
    version = engine.stub.GetPluginInfo(Empty()).version
    schema = json.loads(engine.stub.GetSchema(provider_pb2.GetSchemaRequest()).schema)
    assert (schema["name"], schema["version"]) == ("portcullis", version)


@pytest.mark.parametrize("token", sorted(kinds()))
def test_every_kind_reports_a_missing_thing(engine: Engine, token: str) -> None:
    _, failures = engine.check(token.rpartition(":")[2], host="web1")
    assert failures or token.endswith(
        ("Administrators", "Exposure", "GeneratedSecret", "Inventory", "UfwPolicy")
    ), "nothing is required"
