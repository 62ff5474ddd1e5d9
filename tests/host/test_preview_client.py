"""Tests how a program with the preview key logs in, and how it handles values that the host hides."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.components.previews import render as preview
from portcullis.host.bootstrap import LOOK
from portcullis.host.connections import (
    Connection,
    declared_os,
    declared_user,
    only_looks,
    render_ssh_config,
)
from portcullis.host.errors import AgentRefused, HostError, LoginRefused
from portcullis.host.provider import REDACTED
from portcullis.host.survey import Item, Survey
from portcullis.resources.file.resource import FileProvider
from tests.host.test_provider import FACTS, FILE

if TYPE_CHECKING:
    from collections.abc import Callable

    from portcullis.host.session import Session
    from tests.canned import CannedChannel

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO2q8YREHwHGm/XQKhkVbx8c7BWkBJUW+xFGrlQUqG8U"
LOOKS = {
    "user": "portcullis-preview",
    "looks_for": "deploy",
    "identity_file": "/keys/preview",
    "os": "debian-13",
}


def config(**more: Any) -> str:
    return render_ssh_config(
        {"web1": Connection("192.0.2.1", host_key=KEY, **more)}, folder=Path("/p"), sockets=Path("/s")
    )


def control_path(text: str) -> str:
    return next(line for line in text.splitlines() if "ControlPath" in line)


def test_ssh_config_has_the_preview_user_and_the_declared_user() -> None:
    text = config(**LOOKS)
    assert "    User portcullis-preview\n" in text
    assert '    IdentityFile "/keys/preview"\n' in text
    assert only_looks(text, "web1")
    # Comparisons use the declared user, so a preview shows no difference.
    assert declared_user(text, "web1") == "deploy"
    assert declared_os(text, "web1") == "debian-13"


def test_a_deploy_is_not_read_only() -> None:
    text = config(user="deploy", os="debian-13")
    assert not only_looks(text, "web1")
    assert declared_user(text, "web1") == "deploy"


def test_previews_and_deploys_never_share_a_connection() -> None:
    assert control_path(config(**LOOKS)) != control_path(config(user="deploy"))


def test_both_halves_use_the_same_name_for_the_agent() -> None:
    assert LOOK == preview.ASK_AGENT


def test_a_preview_uses_the_hosts_own_agent_and_sends_none(
    fake_ssh: Callable[..., Session], tmp_path: Path
) -> None:
    session = fake_ssh(
        f"""
        open({str(tmp_path / "argv")!r}, "w").write(sys.argv[-1])
        print("have", flush=True)
        for line in sys.stdin:
            print(json.dumps({{"id": json.loads(line)["id"], "ok": True, "result": {{}}}}), flush=True)
        """,
        **LOOKS,
    )
    session.request("x")
    assert (tmp_path / "argv").read_text() == LOOK


def test_a_write_is_refused_without_a_connection(fake_ssh: Callable[..., Session]) -> None:
    session = fake_ssh("sys.exit(1)", **LOOKS)
    with pytest.raises(AgentRefused, match="may only read") as caught:
        session.request("put", write=True)
    assert "deploy key" in caught.value.hint
    assert session.connections == 0


def test_another_protocol_is_an_error(fake_ssh: Callable[..., Session]) -> None:
    body = """
    print("have", flush=True)
    for line in sys.stdin:
        result = {"protocol": 99, "items": []}
        print(json.dumps({"id": json.loads(line)["id"], "ok": True, "result": result}), flush=True)
    """
    session = fake_ssh(body, **LOOKS)
    with pytest.raises(AgentRefused, match="an agent of another version: protocol 99"):
        session.request("survey")


@pytest.mark.parametrize(
    "said", ["this key reads the host and changes nothing", "no agent is installed on the host; `up` …"]
)
def test_the_message_of_the_host_to_the_preview_key_is_shown(
    fake_ssh: Callable[..., Session], said: str
) -> None:
    """The host's refusal also stops a deploy that uses the preview key by mistake."""
    session = fake_ssh(f"print('portcullis: {said}', file=sys.stderr)\nsys.exit(77)")
    with pytest.raises(LoginRefused) as caught:
        session.request("survey")
    assert said in str(caught.value)
    assert "deploy key" in caught.value.hint


def read(canned: Callable[..., CannedChannel], facts: dict[str, Any]) -> Any:
    item = {"kind": "file", "id": "/etc/motd", "facts": facts}
    canned(lambda *_: {"items": [item]})
    return FileProvider().read("x", {**FILE, "content": "s3cr3t", "secret": True})


def told(content: str) -> dict[str, Any]:
    facts = {key: value for key, value in FACTS.items() if key != "content"}
    return {**facts, "redacted": {"content": content}}


def test_an_unchanged_secret_keeps_its_value_in_the_state(canned: Callable[..., CannedChannel]) -> None:
    found = read(canned, told("unchanged"))
    assert found.inputs["content"] == "s3cr3t"
    assert found.outs["content"] == "s3cr3t"


def test_a_changed_secret_shows_as_changed(canned: Callable[..., CannedChannel]) -> None:
    assert read(canned, told("changed")).inputs["content"] == REDACTED


def test_the_placeholder_of_a_secret_is_never_written() -> None:
    failures = FileProvider().check({}, {**FILE, "content": REDACTED}).failures
    assert [failure.property for failure in failures] == ["content"]


def test_missing_facts_of_an_older_agent_are_an_error(canned: Callable[..., CannedChannel]) -> None:
    with pytest.raises(HostError, match=r"an agent of this version: the field mode is missing"):
        read(canned, {key: value for key, value in FACTS.items() if key != "mode"})


def test_one_request_answers_all_reads_although_facts_name_no_spec(
    canned: Callable[..., CannedChannel],
) -> None:
    items = [{"kind": "file", "id": name, "facts": {"exists": False}} for name in ("/a", "/b")]
    channel = canned(lambda *_: {"items": items})
    survey = Survey(channel, "web/prod")
    for name in ("/a", "/b", "/a"):
        assert survey.facts(Item("file", name, {"path": name})) == {"exists": False}
    assert len(channel.sent) == 1
