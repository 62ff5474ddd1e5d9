from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pulumi.output import Unknown

from portcullis.components.nginx.facts import SERVED
from portcullis.components.nginx.resource.drain import DrainProvider
from portcullis.components.nginx.resource.served_sites import ServedSitesProvider
from tests.host.test_provider import URN, survey_answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.canned import CannedChannel

PROPS = {
    "host": "web1", "managed_by": URN, "unit": "nginx.service", "stale": False,
    "sites": {"a.example.com": SERVED, "*.b.example.com": SERVED},
    "probes": {
        "a.example.com": {"tls": True, "certificate": "/etc/letsencrypt/live/a/fullchain.pem"},
        "*.b.example.com": {"tls": False, "certificate": ""},
    },
    "reads": {"/etc/nginx": "", "/etc/nginx/conf.d/a.conf": "7", "packages nginx": "3"},
    "broken": "", "undeclared": {}, "accepted": {"/etc/nginx/conf.d/b.conf": "of the agency"},
}  # fmt: skip

UNCHANGED = {
    "exists": True,
    "stale": False,
    "sites": PROPS["sites"],
    "broken": "",
    "undeclared": {},
    "fixes": {},
}
EVIL = {"/etc/nginx/conf.d/evil.conf": "nobody declared it; nginx loads it: serves evil.com on 80"}


def checked(**changes: Any) -> Any:
    return ServedSitesProvider().check({}, {**PROPS, **changes})


def test_check_normalises_its_inputs() -> None:
    assert checked(stale=True).failures == []
    assert checked(stale=True).inputs == PROPS


@pytest.mark.parametrize(
    ("changes", "prop"),
    [
        ({"unit": "nginx"}, "unit"),
        ({"sites": {"https://a.example.com": SERVED}}, "sites"),
        ({"sites": {"a.example.com\n": SERVED}}, "sites"),
        ({"sites": {"a.*.example.com": SERVED}}, "sites"),
        ({"sites": {f"{'a' * 64}.example.com": SERVED}}, "sites"),
        ({"accepted": {"conf.d/b.conf": "of the agency"}}, "accepted"),
        ({"accepted": {"/etc/nginx/b.conf": " "}}, "accepted"),
    ],
)
def test_check_refuses_invalid_inputs(changes: dict[str, Any], prop: str) -> None:
    (failure,) = checked(**changes).failures
    assert failure.property == prop


def test_check_accepts_values_that_a_preview_does_not_know() -> None:
    probes = {"a.example.com": {"tls": True, "certificate": Unknown()}}
    assert checked(probes=probes, reads={"/etc/nginx/conf.d/a.conf": Unknown()}).failures == []
    assert checked(sites=Unknown()).failures == []


def test_the_agent_gets_the_watched_paths_and_the_probes() -> None:
    item = ServedSitesProvider().item(PROPS)
    assert (item.kind, item.id) == ("nginx.served_sites", "nginx.service")
    assert item.spec == {
        "unit": "nginx.service",
        "reads": ["/etc/nginx", "/etc/nginx/conf.d/a.conf"],
        "probes": PROPS["probes"],
        "accepted": ["/etc/nginx/conf.d/b.conf"],
    }


def test_a_site_that_nginx_does_not_serve_is_one_difference(canned: Callable[..., CannedChannel]) -> None:
    why = "nothing listens on port 443"
    sites = {**PROPS["sites"], "a.example.com": why}
    facts = {"exists": True, "stale": True, "sites": sites, "broken": "", "undeclared": {}, "fixes": {}}
    canned(survey_answer(facts))
    found = ServedSitesProvider().read("web1:nginx.service", PROPS)
    assert found.inputs == {**PROPS, "stale": True, "sites": {**PROPS["sites"], "a.example.com": why}}
    assert found.outs == {**found.inputs, "fixes": {}}


def test_served_sites_show_no_difference(canned: Callable[..., CannedChannel]) -> None:
    canned(survey_answer(UNCHANGED))
    assert ServedSitesProvider().read("web1:nginx.service", PROPS).inputs == PROPS


def test_an_undeclared_file_is_a_difference_in_a_preview_and_a_warning_in_an_up(
    canned: Callable[..., CannedChannel], capsys: pytest.CaptureFixture[str]
) -> None:
    provider = ServedSitesProvider()
    (path, text), *_ = EVIL.items()
    fixes = {path: ["open", "remove"]}
    canned(survey_answer({**UNCHANGED, "undeclared": EVIL, "fixes": fixes}))
    found = provider.read("web1:nginx.service", PROPS)
    assert found.inputs == {**PROPS, "undeclared": EVIL}
    assert found.outs == {**found.inputs, "fixes": fixes}, (
        "fixes are no input: the engine never compares them"
    )
    step = {"property": f'undeclared["{path}"]', "have": text, "want": "absent", "action": "warn"}
    canned(lambda *_: {"facts": {**UNCHANGED, "undeclared": EVIL, "fixes": fixes}, "steps": [step]})
    done = provider.update("web1:nginx.service", PROPS, PROPS)
    assert done.outs["undeclared"] == EVIL
    does = f"stays; remove it yourself: rm {path} && systemctl reload nginx"
    assert f"{path}: {text} — {does}" in capsys.readouterr().err


def test_a_drain_keeps_its_upstreams_and_has_no_drift(canned: Callable[..., CannedChannel]) -> None:
    canned(survey_answer({"exists": True}))
    drain = {
        "host": "web1", "managed_by": URN, "service": "nginx.service", "reads": "/etc/nginx", "seconds": "60",
        "upstreams": {"a.example/": "28000"},
    }  # fmt: skip
    provider = DrainProvider()
    assert provider.check({}, drain).inputs == drain
    assert provider.read("id", drain).inputs == drain
    assert provider.create(drain).outs == drain
