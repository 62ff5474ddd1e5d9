"""The program that `pulumi import` writes declares exactly the imported thing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import json_format
from pulumi.runtime.rpc import is_rpc_secret

from portcullis.provider.base import import_kinds, kinds
from portcullis.provider.schema import resource_class, schema_text
from portcullis.provider.values import from_struct
from tests.recording_engine import declare

if TYPE_CHECKING:
    from tests.provider.conftest import Engine, Host

import_kinds()
SCHEMA = json.loads(schema_text("1.0.0"))["resources"]
FILE = {"content": "by hand\n", "owner": "nobody", "group": "root", "mode": "0604", "revision": ""}
UFW = {
    "enabled": True, "logging": "low", "rules": {"in 443/tcp": "allow # web"},
    "defaults": {"incoming": "deny", "outgoing": "allow", "routed": "deny"},
    "settings": {}, "altered": {}, "order": "ok", "live": "ok",
}  # fmt: skip
ON_HOST = {
    "File": ("/etc/motd", FILE),
    "Directory": ("/srv/data", {"owner": "root", "group": "www-data", "mode": "0750"}),
    "Service": ("cron.service", {"active": "active", "enabled": "enabled", "stale": False}),
    "UfwPolicy": ("ufw", UFW),
}


def written(kind: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """Return the inputs of a program that Pulumi writes from the schema."""
    token = f"portcullis:index:{kind}"
    given = {name: inputs[name] for name in SCHEMA[token]["inputProperties"] if name in inputs}
    engine = declare(lambda: resource_class(kinds()[token])("it", **given), preview=True)
    declared: dict[str, Any] = engine.one(token).inputs
    return declared


@pytest.mark.parametrize("kind", sorted(ON_HOST))
def test_a_program_written_from_the_schema_changes_nothing(engine: Engine, host: Host, kind: str) -> None:
    thing, facts = ON_HOST[kind]
    host.facts = {"exists": True, **facts}
    found = engine.read(kind, f"web1:{thing}")
    assert found.id == f"web1:{thing}"
    imported = from_struct(found.inputs)
    checked, failures = engine.check(
        kind, **{**written(kind, imported), "managed_by": imported["managed_by"]}
    )
    assert failures == {}
    assert checked == imported
    assert set(imported) <= set(json_format.MessageToDict(found.properties))


@pytest.mark.parametrize("kind", sorted({kind.type_name() for kind in kinds().values()} - set(ON_HOST)))
def test_every_other_kind_gives_a_hint(engine: Engine, kind: str) -> None:
    answer = engine.importing(kind, "web1:something")
    assert answer.startswith(f"{kind} cannot be imported")
    assert "\n  → " in answer


def is_secret(struct: Any, name: str) -> bool:
    return bool(is_rpc_secret(json_format.MessageToDict(struct)[name]))


@pytest.mark.parametrize(("mode", "secret"), [("0600", True), ("0640", True), ("0644", False)])
def test_a_file_with_restricted_mode_is_a_secret_in_the_state(
    engine: Engine, host: Host, mode: str, *, secret: bool
) -> None:
    host.facts = {"exists": True, **FILE, "mode": mode}
    found = engine.read("File", "web1:/etc/portcullis/token")
    assert is_secret(found.inputs, "content") is secret
    assert is_secret(found.properties, "content") is secret
    # The host then redacts the content in errors and for the preview key, as for any secret file.
    assert from_struct(found.inputs).get("secret", False) is secret
