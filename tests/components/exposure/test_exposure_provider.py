from __future__ import annotations

from concurrent import futures
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.output import Unknown
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

from portcullis.components.exposure.resource import ExposureProvider, line
from portcullis.provider import diagnostics
from portcullis.provider.changes import Change, Severity
from tests.host.test_provider import URN, survey_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.canned import CannedChannel

LEAK = 'container "leak" (mysql:8)'
PROPS = {
    "host": "web1", "managed_by": URN,
    "listeners": {"tcp4 0.0.0.0:22": "ssh.service", "tcp6 [::]:22": "ssh.service"},
    "published": {
        "tcp4 172.17.0.1:6379": 'container "redis"',
        "tcp4 172.17.0.1:28000-28999 for api": 'container "api"',
    },
    "passes": {
        "tcp4 22": "anywhere", "tcp6 60000-61000": "2001:db8::/32", "tcp4 8443 to containers": "anywhere",
        "any4 any": "203.0.113.9",
    },
    "networks": {"api": "declared", "redis-shared": "declared"},
    "accepted": {
        "udp4 0.0.0.0:5353": "mDNS",
        "udp6 ephemeral by ntpd.service": "time", "network monitoring": "grafana",
        "iptables INPUT: -s 203.0.113.9/32 -j ACCEPT": "the office",
    },
    "usual": {"udp 68 by dhclient": "the address", "published tcp 8443 by *": "firewall.public opens it"},
}  # fmt: skip
DECLARED = {name: PROPS[name] for name in ("listeners", "published", "passes", "networks")}
FACTS = {"exists": True, **{name: PROPS[name] for name in ("listeners", "published", "passes", "networks")}}


def checked(**changes: Any) -> Any:
    return ExposureProvider().check({}, {**PROPS, **changes})


def test_check_takes_every_kind_of_key() -> None:
    assert checked().failures == []
    assert checked().inputs == PROPS
    assert checked(listeners=Unknown()).failures == []
    assert checked(accepted=None).inputs["accepted"] == {}


@pytest.mark.parametrize(
    ("prop", "value"),
    [
        ("listeners", {"443/tcp": "nginx.service"}),
        ("listeners", {"tcp4 0.0.0.0:443": ""}),
        ("listeners", {"tcp4 [::]:443": "nginx.service"}),
        ("published", {"tcp4 172.17.0.1:28000-28999": 'container "api"'}),
        ("passes", {"443/tcp": "anywhere"}),
        ("accepted", {"tcp4 0.0.0.0:3306 by mysql": "x"}),
        ("accepted", {"tcp4 0.0.0.0:3306": " "}),
        ("usual", {"68 by dhclient": "x"}),
    ],
)
def test_check_refuses_a_malformed_entry(prop: str, value: dict[str, str]) -> None:
    (failure,) = checked(**{prop: value}).failures
    assert failure.property == prop


def test_the_host_gets_what_it_needs_for_reading() -> None:
    item = ExposureProvider().item(PROPS)
    assert (item.kind, item.id) == ("exposure", "host")
    assert set(item.spec) == {"listeners", "published", "passes", "networks", "accepted", "usual"}


def test_a_state_asks_for_what_was_declared_not_for_what_was_found() -> None:
    state = {**PROPS, "networks": {"api": "declared", "byhand": LEAK}, "declared": DECLARED}
    assert ExposureProvider().item(state) == ExposureProvider().item(PROPS)
    desired = ExposureProvider().asked(ExposureProvider().item(state), state)["desired"]
    assert "declared" not in desired


def test_without_a_difference_nothing_shows(canned: Callable[..., CannedChannel]) -> None:
    canned(survey_answer(FACTS))
    found = ExposureProvider().read("web1:host", PROPS)
    assert found.inputs == PROPS
    assert found.outs == {**PROPS, "declared": None}, "a state of an older version"
    assert ExposureProvider().read("web1:host", {**PROPS, "declared": DECLARED}).outs["declared"] == DECLARED


def test_an_undeclared_published_port_is_one_line_of_the_diff(
    canned: Callable[..., CannedChannel],
) -> None:
    canned(survey_answer({**FACTS, "published": {**PROPS["published"], "tcp4 0.0.0.0:3306": LEAK}}))
    found = ExposureProvider().read("web1:host", PROPS)
    assert found.inputs == {**PROPS, "published": {**PROPS["published"], "tcp4 0.0.0.0:3306": LEAK}}


STEP = {"property": 'published["tcp4 0.0.0.0:3306"]', "have": LEAK, "want": "absent", "action": "warn"}


def test_a_deploy_warns_and_the_state_keeps_what_was_found(
    canned: Callable[..., CannedChannel], capsys: pytest.CaptureFixture[str]
) -> None:
    live = {**FACTS, "published": {"tcp4 0.0.0.0:3306": LEAK}}
    canned(lambda _op, _arguments: {"facts": live, "steps": [STEP]})
    done = ExposureProvider().update("web1:host", PROPS, PROPS)
    assert done.outs == {**PROPS, "published": {"tcp4 0.0.0.0:3306": LEAK}, "declared": DECLARED}
    assert capsys.readouterr().err == (
        'warning: undeclared: tcp4 0.0.0.0:3306 by container "leak" (mysql:8)\n'
    )
    made = ExposureProvider().create(PROPS)
    assert (made.id, made.outs["declared"]) == ("web1:host", DECLARED)


GOING = {
    "listeners": {"tcp4 0.0.0.0:80": "nginx.service"},
    "published": {
        "tcp4 172.17.0.1:2019": 'container "shop" (acme/shop:2)',
        "tcp4 172.17.0.1:28003": 'container "blog-7" (acme/blog:2)',
    },
    "passes": {"tcp4 80": "anywhere"},
    "networks": {"shop": 'container "shop" (acme/shop:2)'},
}
STAYING = {
    "listeners": {"tcp4 0.0.0.0:443": 'process "nc" (root)'},
    "published": {
        "tcp4 172.17.0.1:2020": LEAK,
        "tcp4 172.17.0.1:28004": 'container "other-7" (acme/blog:2)',
        "tcp4 172.17.0.1:27999": 'container "blog-7" (acme/blog:2)',
    },
    "passes": {"tcp4 443": "203.0.113.9"},
    "networks": {"byhand": LEAK},
}


def test_an_update_is_silent_about_what_the_engine_deletes_after_it(
    canned: Callable[..., CannedChannel], capsys: pytest.CaptureFixture[str]
) -> None:
    olds = {**PROPS, "declared": {
        "listeners": {**PROPS["listeners"], "tcp4 0.0.0.0:80": "nginx.service",
                      "tcp4 0.0.0.0:443": "nginx.service"},
        "published": {
            **PROPS["published"], "tcp4 172.17.0.1:2019": 'container "shop"',
            "tcp4 172.17.0.1:2020": 'container "mine"',
            "tcp4 172.17.0.1:28000-28999 for blog": 'container "blog"',
        },
        "passes": {**PROPS["passes"], "tcp4 80": "anywhere", "tcp4 443": "anywhere"},
        "networks": {**PROPS["networks"], "shop": "declared"},
    }}  # fmt: skip
    live = {name: {**PROPS[name], **GOING[name], **STAYING[name]} for name in GOING}
    steps = [
        {"property": f'{name}["{key}"]', "have": text, "want": "absent", "action": "warn"}
        for part in (GOING, STAYING)
        for name, found in part.items()
        for key, text in found.items()
    ]
    channel = canned(lambda _op, _arguments: {"facts": {**FACTS, **live}, "steps": steps})
    done = ExposureProvider().update("web1:host", olds, PROPS)
    said = capsys.readouterr().err
    assert [key for found in STAYING.values() for key in found if key not in said] == []
    assert [key for found in GOING.values() for key in found if key in said] == []
    kept = {name: {**PROPS[name], **STAYING[name]} for name in STAYING}
    assert done.outs == {**PROPS, **kept, "declared": DECLARED}
    assert "__before" not in str(channel.sent)

    # The next update expects no deletion: an entry that is still on the host is a difference.
    ExposureProvider().update("web1:host", done.outs, PROPS)
    said = capsys.readouterr().err
    assert [key for found in GOING.values() for key in found if key not in said] == []


@pytest.mark.parametrize(
    ("prop", "have", "want", "said"),
    [
        ('listeners["tcp4 0.0.0.0:80"]', "absent", "nginx.service",
         "declared but missing: tcp4 0.0.0.0:80 by nginx.service"),
        ('passes["tcp4 3306"]', "anywhere", "absent", "undeclared: tcp4 3306: anywhere"),
        ('passes["nft inet x in: tcp dport 1 accept comment "y""]', "accepts", "absent",
         'undeclared: nft inet x in: tcp dport 1 accept comment "y": accepts'),
        ('networks["byhand"]', LEAK, "absent", f"undeclared: network byhand with {LEAK}"),
        ('listeners["tcp4 0.0.0.0:80"]', 'process "nc" (root)', "nginx.service",
         'tcp4 0.0.0.0:80 by process "nc" (root), declared: nginx.service'),
    ],
)  # fmt: skip
def test_a_warning_is_a_line_for_people(prop: str, have: str, want: str, said: str) -> None:
    assert line({"property": prop, "have": have, "want": want}) == said


class Engine(engine_pb2_grpc.EngineServicer):
    def __init__(self) -> None:
        self.said: list[Any] = []

    def Log(self, request: Any, context: Any) -> Any:  # noqa: N802 - the name in the protocol
        del context
        self.said.append(request)
        return empty_pb2.Empty()


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    server, made = grpc.server(futures.ThreadPoolExecutor(1)), Engine()
    engine_pb2_grpc.add_EngineServicer_to_server(made, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setattr("sys.argv", ["pulumi-resource-portcullis", f"127.0.0.1:{port}"])
    yield made
    server.stop(None)


def test_a_warning_reaches_the_engine_beside_its_resource(
    engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    diagnostics.warn(URN, "undeclared: x")
    (said,) = engine.said
    assert (said.severity, said.message, said.urn) == (engine_pb2.WARNING, "undeclared: x", URN)
    assert capsys.readouterr().err == ""


def test_without_an_engine_a_warning_still_reaches_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["pulumi-resource-portcullis", "127.0.0.1:9"])
    diagnostics.warn(URN, "undeclared: x")
    assert "undeclared: x" in capsys.readouterr().err


def test_the_line_of_a_published_port_has_the_command_that_removes_its_owner() -> None:
    live = {"tcp4 0.0.0.0:3306": LEAK, "tcp4 0.0.0.0:8088": 'service "web" (nginx:1)', "tcp4 0.0.0.0:9": "?"}
    paths = frozenset(("published", key) for key in live)
    props, found = {"published": {}}, {"published": live}
    change = Change("Exposure", "e", "update", props, found, props, hand=paths, up=paths, host="web1")
    told = {line.subject: line.remedy for line in ExposureProvider().lines(change)}
    assert told == {
        "tcp4 0.0.0.0:3306": "stays; remove it yourself: docker rm -f leak",
        "tcp4 0.0.0.0:8088": "stays; remove it yourself: docker service rm web",
        "tcp4 0.0.0.0:9": "stays",
    }


@pytest.mark.parametrize("name", ["listeners", "published"])
@pytest.mark.parametrize("owner", [LEAK, 'service "web" (nginx:1)'])
@pytest.mark.parametrize("served", ["nginx sends requests to it", "nginx may send requests to it"])
def test_no_command_removes_what_nginx_sends_requests_to(name: str, owner: str, served: str) -> None:
    live = {"tcp4 0.0.0.0:3306": f"{owner}, {served}"}
    paths = frozenset((name, key) for key in live)
    props, found = {name: {}}, {name: live}
    change = Change("Exposure", "e", "update", props, found, props, hand=paths, up=paths, host="web1")
    (line,) = ExposureProvider().lines(change)
    assert line.remedy == "stays"
    assert served in line.what


def test_a_network_past_every_filter_has_the_worst_severity() -> None:
    live = {"lan": f"{LEAK}, past every filter of the host (macvlan)", "byhand": LEAK}
    paths = frozenset(("networks", key) for key in live)
    props, found = {"networks": {}}, {"networks": live}
    change = Change("Exposure", "e", "update", props, found, props, hand=paths, up=paths, host="web1")
    told = {line.subject: (line.severity, line.echo) for line in ExposureProvider().lines(change)}
    # The report leaves these lines out if the inventory has its own line about the network or its interface.
    assert told == {"network lan": (Severity.OPEN, True), "network byhand": (Severity.WRONG, True)}
