"""The pack as a process with the protocol of Pulumi's engine finds the same as `portcullis policy`."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime import rpc
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc, plugin_pb2

from portcullis.policy import args as policies
from portcullis.policy import program
from portcullis.policy.catalogue import BY_NAME, POLICIES
from portcullis.policy.model import UNKNOWN, Resource
from portcullis.policy.verdict import judge
from tests.policy.policy_examples import EXAMPLES
from tests.policy.policy_stack import ROOT, STACK, Checkout, lab, texts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"
_LEVELS = {analyzer_pb2.MANDATORY: "stop", analyzer_pb2.ADVISORY: "warn"}

VIOLATING = [resource for example in EXAMPLES.values() for stack in example.bad for resource in stack]
CONFORMING = [resource for example in EXAMPLES.values() for stack in example.good for resource in stack]
SOON = (dt.datetime.now(dt.UTC).date() + dt.timedelta(days=30)).isoformat()
REASON = "The vendor's image writes to its own folder."
SETTINGS: dict[str, dict[str, Any]] = {
    "as-it-is": {},
    "milder": {"severity": {"no-public-bind": "warn", "host-has-filter": "warn", "hsts-floor": "off"}},
    "exempt": {
        "exempt": {
            "read-only-root": {"api": {"reason": REASON, "until": SOON}},
            "host-has-firewall": {"stack": {"reason": REASON, "until": SOON}},
        }
    },
    "expired": {"exempt": {"read-only-root": {"api": {"reason": REASON, "until": "2020-01-31"}}}},
}


class Pack:
    """The pack's process, which the tests call like the engine."""

    def __init__(self, port: int) -> None:
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.stub = analyzer_pb2_grpc.AnalyzerStub(self._channel)

    def close(self) -> None:
        self._channel.close()

    def configure(self, settings: str) -> dict[str, str]:
        """Send the stack's configuration, and return the enforcement levels of the pack."""
        self.stub.ConfigureStack(
            analyzer_pb2.AnalyzerStackConfigureRequest(
                stack=STACK, project="portcullis", dry_run=True, config={"portcullis:policy": settings}
            )
        )
        info = self.stub.GetAnalyzerInfo(empty_pb2.Empty())
        chosen = {
            policy.name: analyzer_pb2.PolicyConfig(enforcementLevel=policy.enforcementLevel)
            for policy in info.policies
        }
        self.stub.Configure(analyzer_pb2.ConfigureAnalyzerRequest(policyConfig=chosen))
        return {policy.name: policy.enforcementLevel for policy in info.policies}

    def verdicts(self, stack: list[Resource]) -> Counter[tuple[str, ...]]:
        """Return the verdicts about each resource and about all together."""
        said: Counter[tuple[str, ...]] = Counter()
        requests = []
        for one in stack:
            common = {"type": one.type, "name": one.name, "urn": one.urn, "properties": struct(one)}
            options = analyzer_pb2.AnalyzerResourceOptions(protect=one.protect)
            answer = self.stub.Analyze(analyzer_pb2.AnalyzeRequest(**common, options=options))
            said += told(answer)
            requests.append(analyzer_pb2.AnalyzerResource(**common, options=options))
        return said + told(self.stub.AnalyzeStack(analyzer_pb2.AnalyzeStackRequest(resources=requests)))


def told(answer: Any) -> Counter[tuple[str, ...]]:
    return Counter((d.policyName, d.urn, d.message, _LEVELS[d.enforcementLevel]) for d in answer.diagnostics)


def struct(resource: Resource) -> struct_pb2.Struct:
    """Return properties as the engine sends them, with secret marks and texts for unknown values."""
    encoded = {key: encode(value) for key, value in resource.props.items()}
    for key in ("envs", "content", "keys"):
        if key in encoded:
            encoded[key] = {_SIGNATURE: _SECRET, "value": encoded[key]}
    found: struct_pb2.Struct = json_format.ParseDict(encoded, struct_pb2.Struct())
    return found


def encode(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, list):
        return [encode(item) for item in value]
    return rpc.UNKNOWN if value is UNKNOWN else value


@contextmanager
def started(*argv: str) -> Iterator[Pack]:
    with subprocess.Popen(
        [*argv, "127.0.0.1:1"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ
    ) as process:
        assert process.stdout
        pack = Pack(int(process.stdout.readline()))
        try:
            yield pack
        finally:
            pack.close()
            # We do not send SIGINT, because processes that a shell starts in the background ignore it.
            process.terminate()
            process.communicate(timeout=120)


@pytest.fixture(scope="module")
def pack() -> Iterator[Pack]:
    with started(sys.executable, str(ROOT / "policy")) as pack:
        yield pack


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Resource]]:
    """Return the resources that the program declares for stack lab."""
    folder: Path = tmp_path_factory.mktemp("declared")
    checkout = Checkout(folder)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(checkout.folder)
        patched.setenv("XDG_RUNTIME_DIR", str(folder))
        yield program.of_program(texts(lab(folder)), stack=STACK)
    signal.signal(signal.SIGINT, handler)


def judged(stack: list[Resource], settings: dict[str, Any]) -> Counter[tuple[str, ...]]:
    return Counter(
        (one.policy, one.urn, f"{BY_NAME[one.policy].rule}\n{one.message}", one.severity)
        for one in judge(stack, policies.of_raw(settings))
        if not one.exempt
    )


def test_the_pack_describes_itself_and_its_policies(pack: Pack) -> None:
    pack.configure("")
    info = pack.stub.GetAnalyzerInfo(empty_pb2.Empty())
    assert info.name == "portcullis"
    assert info.supportsConfig
    assert [p.name for p in info.policies] == [p.name for p in POLICIES]
    assert all(p.remediation_steps for p in info.policies)
    milder = [p.name for p in info.policies if p.enforcementLevel != analyzer_pb2.MANDATORY]
    assert milder == ["secret-in-environment"]
    assert pack.stub.GetPluginInfo(empty_pb2.Empty()) == plugin_pb2.PluginInfo(version="1.21.0")


@pytest.mark.parametrize("name", SETTINGS)
def test_the_pack_finds_the_same_as_the_verb(name: str, pack: Pack) -> None:
    pack.configure(json.dumps(SETTINGS[name]))
    expected = judged([*VIOLATING, *CONFORMING], SETTINGS[name])
    assert len(expected) > 50
    assert pack.verdicts([*VIOLATING, *CONFORMING]) == expected


def test_the_pack_finds_the_same_as_the_verb_for_each_example(pack: Pack) -> None:
    pack.configure("")
    for example in EXAMPLES.values():
        for stack in (*example.bad, *example.good):
            assert pack.verdicts(stack) == judged(stack, {})


def test_the_pack_stops_nothing_of_the_program(pack: Pack, declared: list[Resource]) -> None:
    pack.configure("")
    assert len(declared) > 100
    assert pack.verdicts(declared) == judged(declared, {}) == Counter()


def test_the_pack_stops_the_change_of_a_pull_request(pack: Pack, declared: list[Resource]) -> None:
    changed = [
        Resource(r.type, r.name, r.urn, {**r.props, "command": ["mongod"]}, r.protect)
        if r.name == "mongo-container"
        else r
        for r in declared
        if not r.is_host("ForwardFilter")
    ]
    verdicts = pack.verdicts(changed)
    assert verdicts == judged(changed, {})
    assert {policy for policy, *_ in verdicts} == {"store-must-authenticate", "host-has-filter"}


def test_the_pack_knows_the_severities_when_the_engine_asks(pack: Pack) -> None:
    levels = pack.configure(json.dumps(SETTINGS["milder"]))
    assert levels["no-public-bind"] == analyzer_pb2.ADVISORY
    assert levels["hsts-floor"] == analyzer_pb2.DISABLED
    assert levels["memory-limit"] == analyzer_pb2.MANDATORY
    assert pack.configure("")["no-public-bind"] == analyzer_pb2.MANDATORY


def test_faulty_settings_exempt_nothing(pack: Pack) -> None:
    raw = SETTINGS["exempt"] | {"severity": {"no-public-bind": "whatever"}}
    assert pack.configure(json.dumps(raw)) == pack.configure("")
    assert pack.verdicts(VIOLATING) == judged(VIOLATING, {})


def test_older_engines_pass_the_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps({"portcullis:policy": json.dumps(SETTINGS["milder"])}))
    with started(sys.executable, str(ROOT / "policy")) as pack:
        levels = {p.name: p.enforcementLevel for p in pack.stub.GetAnalyzerInfo(empty_pb2.Empty()).policies}
    assert levels["hsts-floor"] == analyzer_pb2.DISABLED


def test_the_pack_also_runs_as_a_program() -> None:
    with started(str(ROOT / "policy/portcullis-policy")) as pack:
        assert pack.stub.GetAnalyzerInfo(empty_pb2.Empty()).name == "portcullis"
