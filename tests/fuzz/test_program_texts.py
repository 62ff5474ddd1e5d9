"""Any text from ssh, the engine, a registry or an undeclared port is read, refused or made printable."""

from __future__ import annotations

import json
import struct
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.agent.wire import encode
from portcullis.cli import restore as cli_restore
from portcullis.cli.map import draw, mermaid, state, svg
from portcullis.cli.pipeline import code_only, markdown
from portcullis.cli.pipeline.preview import Preview
from portcullis.cli.report import engine, events, render
from portcullis.cli.report.differences import Collector
from portcullis.cli.scan import greetings, report, vantage, verdict
from portcullis.cli.scan.main import Stopped, _ports, _read
from portcullis.components.backups.job import restore
from portcullis.components.host.declared import Declared, Opening
from portcullis.components.mongodb.on_host.mongo_bson import Malformed
from portcullis.config import sources
from portcullis.host import connections, ssh_errors
from portcullis.host.connections import Connection
from portcullis.printable import one_line, printable_values
from portcullis.registry import parse
from tests.cli.report.streams import Stream
from tests.fuzz import texts as fuzz
from tests.fuzz.test_host_bytes import Line
from tests.fuzz.test_hostile_answers import PROVIDERS, sample
from tests.fuzz.test_protocol import instances
from tests.fuzz.texts import blobs, documents, per_kind, texts, values

STDERR = (
    "ssh: connect to host 192.0.2.1 port 22: Connection refused\n",
    "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nSHA256:abc+/d\n",
    "no such identity: /x: No such file\nroot@h: Permission denied (publickey).\n",
    "sudo: a password is required\n", "portcullis: no agent\n", "kex_exchange_identification: read\n",
)  # fmt: skip


@given(said=texts(*STDERR), code=st.none() | st.integers())
def test_any_output_of_ssh_becomes_a_printable_error(said: str, code: int | None) -> None:
    text = str(ssh_errors.explain(said, exit_code=code))
    assert fuzz.printable(text)
    assert fuzz.is_utf8(text)


ENGINE = (
    "error: could not load Pulumi.lab.yaml: yaml: line 3: mapping values are not allowed\n",
    "error: 'portcullis:hosts' must be of type 'object'\n", "warning: x\nerror: y\n  z\n",
)  # fmt: skip


@given(texts(*ENGINE))
def test_any_error_output_of_the_engine_is_read(said: str) -> None:
    assert all(isinstance(one, str) for one in engine.errors_of(said, "lab"))


URN_ = "urn:pulumi:lab::web::portcullis:index:File::motd"
EVENT = {
    "resOutputsEvent": {"metadata": {
        "op": "update", "urn": URN_, "type": "portcullis:index:File", "detailedDiff": {'keys["a.b"]': {"kind": "update"}},
        "old": {"urn": URN_, "type": "portcullis:index:File", "custom": True, "inputs": {"path": "/x"}, "outputs": {"path": "/x"}},
        "new": {"urn": URN_, "type": "portcullis:index:File", "custom": True, "inputs": {"path": "/y"}, "outputs": {"path": "/y"}},
    }},
}  # fmt: skip


@given(
    texts(json.dumps(EVENT), '{"diagnosticEvent": {"severity": "error", "message": "x"}}', "{}", "[" * 3000)
)
def test_a_line_of_the_engine_that_is_not_an_event_is_ignored(line: str) -> None:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        assert events.read(line) is None


@given(
    st.lists(
        texts(
            'web1: File "motd" (/etc/motd): cause\n  → do', "The settings of this stack have a fault:\n  x"
        ),
        max_size=4,
    )
)
def test_any_message_becomes_printable_lines(messages: list[str]) -> None:
    collector = Collector("lab")
    for message in messages:
        collector.take(events.Message("error", message, URN_))
        collector.take(events.Message("warning", message))
    report_ = collector.report(errors=messages)
    for row in render.rows(report_, details=True):
        assert fuzz.printable(row.plain()), row.plain()
    said = markdown.of_preview(Preview("lab", report_), "abc")
    assert fuzz.is_utf8(said)


@pytest.mark.parametrize("name", sorted(PROVIDERS))
@per_kind()
@given(data=st.data())
def test_any_facts_of_a_host_become_printable_lines(name: str, data: st.DataObject) -> None:
    kind = PROVIDERS[name]
    declared = encode(sample(kind.desired_type)) | {"host": "web1", "managed_by": URN_}
    found = data.draw(instances(kind.facts_type))
    live = declared | printable_values(kind().live_inputs(found), declared)
    live = json.loads(json.dumps(live))
    report_ = Stream().thing(name, "it", declared, live, declared).report()
    said = "\n".join(row.plain() for row in render.rows(report_, details=True))
    assert fuzz.printable(said), said
    assert fuzz.is_utf8(said)
    if live != declared:
        assert not report_.is_clean


EXPORT = {"deployment": {"manifest": {"time": "2026-11-27T08:00:00Z"}, "resources": [
    {"urn": f"urn:pulumi:lab::web::portcullis:index:{kind}::{name}", "type": f"portcullis:index:{kind}", "inputs": inputs, "outputs": inputs}
    for kind, name, inputs in (
        ("Exposure", "web1-exposure", {"host": "web1", "listeners": {"tcp4 0.0.0.0:22": "sshd"}, "published": {"tcp4 0.0.0.0:3306": 'container "x" (y)'}, "passes": {"tcp4 443": "anywhere"}, "networks": {}, "declared": {}}),
        ("ContainerState", "api-state", {"host": "web1", "image": "a", "previous_image": "b", "expects": "healthy"}),
        ("UfwPolicy", "ufw", {"host": "web1", "rules": {"in 443/tcp": "allow"}}),
        ("Inventory", "inventory", {"host": "web1", "files": {"/etc/x": "file"}, "docker": {"container x": "y"}}),
    )
]}}  # fmt: skip


@given(key=texts("tcp4 0.0.0.0:3306", "\u00b2/tcp"), text=texts('container "x" (y)'))
def test_any_exposure_of_a_host_can_be_drawn(key: str, text: str) -> None:
    export = json.loads(
        json.dumps(EXPORT).replace("tcp4 0.0.0.0:3306", "@key").replace('container \\"x\\" (y)', "@text")
    )
    changed = json.loads(json.dumps(export), object_hook=lambda found: {key if name == "@key" else name: text if value == "@text" else value for name, value in found.items()})  # fmt: skip
    resources = state.of_export(changed)
    found = draw.draw(resources)
    draw.exposed(found, resources, resources)
    lines = mermaid.mermaid(found).splitlines()
    assert fuzz.printable("\n".join(lines))
    svg.svg(found)


@given(texts("ghcr.io/acme/api:1", "redis:8", "localhost:5000/x@sha256:abc"))
def test_any_image_reference_is_parsed(name: str) -> None:
    assert isinstance(parse(name).host, str)


@given(texts("1-1024,8080"))
def test_any_ports_on_the_command_line_are_parsed_or_refused(text: str) -> None:
    try:
        assert all(1 <= low <= high <= 65535 for low, high in _ports(text))
    except (ArgumentTypeError, ValueError):  # argparse reports both exceptions
        return


DECLARED = Declared("web1", ("192.0.2.1",), 22, (Opening(22, 22, "SSH", "ssh"), Opening(443, 443, "a site", "portcullis:sites", ("10.0.0.0/8",), "any")), ("a.example.com",))  # fmt: skip


@given(documents(json.loads(json.dumps([DECLARED.json()]))))
def test_any_declaration_file_of_scan_is_read_or_refused(found: Any) -> None:
    try:
        _read(json.dumps(found), "declared.json")
    except Stopped as error:
        assert str(error)


ASKED = {
    "from": "laptop", "method": "connect", "unresolved": ["x"],
    "addresses": {"192.0.2.1": {
        "source": "10.0.0.1", "open": [22, 443, 6379], "refused": 1, "silent": 2,
        "greetings": {"6379": {"speaks": "redis", "said": "+PONG", "access": greetings.OPEN}},
        "certificates": {"a.example.com": {"begins": 1, "ends": 2, "issuer": "x", "trusted": False, "names_it": True, "fault": "y"}},
    }},
}  # fmt: skip


@given(
    said=texts("+PONG"),
    issuer=texts("An Authority"),
    fault=texts("self-signed"),
    ports=st.lists(st.integers(1, 65535), max_size=60, unique=True),
)
def test_any_greeting_on_an_undeclared_port_is_reported_on_printable_lines(
    said: str, issuer: str, fault: str, ports: list[int]
) -> None:
    asked = json.loads(json.dumps(ASKED))
    (found,) = asked["addresses"].values()
    found["greetings"]["6379"]["said"], found["open"] = said, sorted(ports)
    found["certificates"]["a.example.com"] |= {"issuer": issuer, "fault": fault}
    result = verdict.compare(DECLARED, printable_values(asked, show=one_line), [(1, 65535)], 3.0)
    table = report.table([result])
    assert fuzz.printable(table), table
    json.dumps(report.as_json([result]))


@given(documents(ASKED))
def test_any_scan_result_of_another_machine_is_reported_or_refused(answer: Any) -> None:
    try:
        answer_ = vantage.checked(json.loads(json.dumps(answer)), "elsewhere")
    except vantage.VantageFailed:
        return
    table = report.table(
        [verdict.compare(DECLARED, printable_values(answer_, show=one_line), [(1, 65535)], 3.0)]
    )
    assert fuzz.printable(table), table


@given(
    blobs(
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x4a\0\0\0\x0a8.0.36\0",
        b"+PONG\r\n",
        b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n",
        b"220 mail ESMTP\r\n",
    )
)
def test_any_greeting_becomes_one_printable_line(said: bytes) -> None:
    for greeting in (greetings._banner(said), greetings._pinged(said)):
        if greeting:
            assert fuzz.printable(greeting.said), greeting
            assert "\n" not in greeting.said
    assert fuzz.printable(greetings._shown(said))


@given(blobs(b"\x1a\0\0\0\7\0\0\0\1\0\0\0\xdd\7\0\0" + b"\0\0\0\0\0" + b"\x05\0\0\0\0"))
def test_any_answer_in_the_protocol_of_mongodb_is_read_or_refused(said: bytes) -> None:
    try:
        greetings._asked(Line(said), {"hello": 1})  # type: ignore[arg-type]
    except (Malformed, OSError, ValueError, struct.error):  # after an error, `greet` tries the next protocol
        return


SSH_CONFIG = connections.render_ssh_config(
    {"web1": Connection("192.0.2.1", user="deploy", port=2222, host_key="ssh-ed25519 AAAA", identity_file="~/x", bootstrap_user="root", os="debian-13")},
    folder=Path("/x"), sockets=Path("/y"),
)  # fmt: skip


@given(text=texts(SSH_CONFIG), alias=st.sampled_from(["web1", "web", "*", "a.b", "("]))
def test_an_edited_ssh_config_of_ours_is_read(text: str, alias: str) -> None:
    connections.declared_user(text, alias)
    connections.declared_port(text, alias)
    connections.declared_os(text, alias)
    connections.only_looks(text, alias)
    try:
        connections.missing_identity(text, alias)
    except (OSError, ValueError):
        return


@given(st.dictionaries(st.text(max_size=8), values, max_size=5))
def test_encrypted_values_are_found_at_any_depth(config: dict[str, Any]) -> None:
    config = {**config, "portcullis:x": {"a": [{"secure": "v1:CANARY"}], "b": config}}
    assert "CANARY" not in json.dumps(code_only.without_secrets(config))
    assert 'portcullis:x["a"][0]' in list(code_only.secret_paths(config))


@given(texts('{"a": 1}', "yes", "1.10", "[[[["))
def test_any_value_of_the_engine_is_decoded(text: str) -> None:
    sources._decoded(text)


@given(
    documents(
        [
            {
                "store": "redis",
                "name": "20261127T033000Z",
                "taken": 1.0,
                "items": 3,
                "place": "here",
                "bytes": 4,
                "holds": "keys",
                "aside": False,
            }
        ]
    )
)
def test_any_list_of_backups_of_a_host_is_shown_or_refused(found: Any) -> None:
    try:
        listed = cli_restore.listed(json.dumps(found), "web1")
    except cli_restore.Stopped:
        return
    said = restore.table(listed)
    assert fuzz.printable(said), said
