"""Tests how the map draws resources, the effect of a change, and undeclared things."""

from __future__ import annotations

import copy
import datetime as dt
import json
import os
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from portcullis.cli.main import parsed
from portcullis.cli.map import draw, state
from portcullis.cli.map.comment import of_preview, section
from portcullis.cli.map.main import FORMATS, run
from portcullis.cli.map.mermaid import escape
from portcullis.cli.map.model import UNDECLARED, Map, Node, changed, differences
from portcullis.cli.pipeline import markdown
from portcullis.cli.pipeline.preview import Preview
from portcullis.cli.report.differences import Report
from portcullis.components.inventory.facts import MAPS

RECORDED = Path(__file__).parents[2] / "golden" / "recorded" / "demo-state.json"
EVIL = 'x"]; click a "javascript:alert(1)" <script>alert(1)</script> &amp; --> `b` #35; \x1b[31m\n%%{init}%%'


def recorded() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RECORDED.read_text())
    return found


def demo() -> Map:
    return draw.draw(state.of_export(recorded()))


def reaches(found: Map) -> set[str]:
    return {f"{found.nodes[a].label} > {found.nodes[b].label}" for a, b in found.edges}


def resource(kind: str, named: str, parent: str = "", /, **props: Any) -> dict[str, Any]:
    types = {"Container": "docker:index/container:Container"}
    type_ = types.get(kind, f"portcullis:index:{kind}")
    return {"urn": f"urn:pulumi:dev::p::{type_}::{named}", "type": type_, "parent": parent, "inputs": props}


def drawn(*resources: dict[str, Any]) -> Map:
    return draw.draw(state.of_export({"deployment": {"resources": list(resources)}}))


def test_the_map_of_the_demo() -> None:
    assert reaches(demo()) == {
        *(f"{who} > {port}" for who in ("internet", "neighbour") for port in ("22/tcp", "80/tcp", "443/tcp")),
        "80/tcp > shop.example.com",
        "443/tcp > shop.example.com",
        "shop.example.com > api",
        "api > redis",
        "api > mongo",
        "alice > 22/tcp",
        "alice > redis",
        "alice > mongo",
    }


def test_an_app_reaches_what_it_has_a_link_with() -> None:
    def links(*pairs: str) -> list[dict[str, Any]]:
        ends = [pair.split(".") for pair in pairs]
        return [resource("Link", f"{a}.{b}", host="web1", user=a, server=b) for a, b in ends]

    given = recorded()
    every = given["deployment"]["resources"]
    (api,) = [one for one in every if one["urn"].endswith("Container::api-container")]
    api["inputs"]["networksAdvanced"] = [{"name": "api"}, {"name": "api.redis"}]
    (component,) = [one for one in every if one["urn"] == api["parent"]]
    web = copy.deepcopy(api)
    web |= {key: api[key].replace("::api", "::web") for key in ("urn", "parent")}
    every.append({**component, "urn": web["parent"]})
    web["inputs"] |= {"name": "web", "networksAdvanced": [{"name": "web"}, {"name": "web.api"}]}
    every += [web, *links("api.redis", "web.api", "web.gone")]
    found = draw.draw(state.of_export(given))
    inner = {edge for edge in reaches(found) if edge.startswith(("api >", "web >"))}
    assert inner == {"api > redis", "web > api"}


def test_stores_are_reached_only_by_apps_and_tunnels_and_containers_only_by_sites() -> None:
    found = demo()
    for source, target in found.edges:
        if target.startswith("store:"):
            assert source.startswith(("container:", "who:tunnel:"))
        if target.startswith("container:"):
            assert source.startswith("site:")


def test_a_rule_with_a_source_is_for_that_source_only() -> None:
    rules = {"in 5432/tcp from 203.0.113.0/24": "allow # reports", "in 9/tcp": "deny", "in 53": "limit"}
    found = drawn(resource("UfwPolicy", "policy", host="web1", rules=rules))
    assert reaches(found) == {
        "203.0.113.0/24 > 5432/tcp",
        *(f"{who} > 53/{kind}" for who in ("internet", "neighbour") for kind in ("tcp", "udp")),
    }


def test_a_rule_with_more_than_ports_and_a_source_is_drawn_under_its_own_name() -> None:
    rules = {
        "in 443/tcp on eth0": "allow",
        "in any from 10.0.0.0/8": "allow # the office",
        "in 80/tcp (v6)": "limit",
        "in any from any port 53": "allow",
        "route 80/tcp in on eth0 out on docker0": "allow",
        "in any on eth1": "deny",
        "out 25/tcp": "allow",
    }
    everybody = (
        "80/tcp (v6)",
        "443/tcp on eth0",
        "any from any port 53",
        "route 80/tcp in on eth0 out on docker0",
    )
    found = drawn(resource("UfwPolicy", "policy", host="web1", rules=rules))
    assert reaches(found) == {
        "10.0.0.0/8 > any from 10.0.0.0/8",
        *(f"{who} > {port}" for who in ("internet", "neighbour") for port in everybody),
    }


def test_each_port_of_a_rule_is_drawn() -> None:
    rules = {"in 80,8000:8010/tcp from 10.0.0.0/8": "allow"}
    found = drawn(resource("UfwPolicy", "policy", host="web1", rules=rules))
    assert reaches(found) == {"10.0.0.0/8 > 80/tcp", "10.0.0.0/8 > 8000:8010/tcp"}


def test_a_port_that_a_container_publishes_leads_to_the_container() -> None:
    host = resource("HardenedHost", "web1")
    container = resource(
        "Container", "mail", host["urn"], name="mail", ports=[{"external": 25, "internal": 25, "ip": "::"}]
    )
    policy = resource("UfwPolicy", "policy", host="web1", rules={"in 25/tcp": "allow"})
    assert "25/tcp > mail" in reaches(drawn(host, policy, container))


def test_two_hosts_do_not_mix() -> None:
    parts = []
    for host in ("web1", "web2"):
        above = resource("HardenedHost", host)
        parts += [
            above,
            resource("UfwPolicy", f"{host}-policy", above["urn"], host=host, rules={"in 80/tcp": "allow"}),
        ]
        network = [{"name": "redis-shared"}]
        parts.append(resource("Container", f"{host}-api", above["urn"], name="api", networksAdvanced=network))
        component = resource("Redis", f"{host}-redis", above["urn"])
        inner = resource("PrivateContainer", f"{host}-store", component["urn"])
        parts += [component, inner]
        parts.append(
            resource("Container", f"{host}-box", inner["urn"], name="redis", networksAdvanced=network)
        )
    found = drawn(*parts)
    assert ("container:web1:api", "store:web1:web1-store") in found.edges
    assert ("container:web1:api", "store:web2:web2-store") not in found.edges
    assert "web2" in FORMATS["mermaid"](found), "with several hosts, each node names its host"


def test_a_site_with_an_unknown_file_leads_to_the_containers_that_the_file_depends_on() -> None:
    """In the preview of a new release, the port is known only after `up`."""
    export = recorded()
    for each in export["deployment"]["resources"]:
        if each["outputs"].get("path") == "/etc/nginx/conf.d/shop.example.com.conf":
            each["inputs"]["content"] = each["outputs"]["content"] = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
    assert "shop.example.com > api" in reaches(draw.draw(state.of_export(export)))


def test_the_differences_of_two_maps() -> None:
    before, after = demo(), demo()
    del after.nodes["who:tunnel:alice"]
    for ends in [ends for ends in after.edges if "who:tunnel:alice" in ends]:
        del after.edges[ends]
    after.add(Node("port:web1:8443/tcp", "port", "web1", "8443/tcp"))
    after.join("who:internet", "port:web1:8443/tcp")
    assert differences(changed(before, after)) == [
        "- who alice",
        "+ port 8443/tcp on web1",
        "+ internet reaches 8443/tcp",
        "- alice reaches 22/tcp",
        "- alice reaches mongo",
        "- alice reaches redis",
    ]
    assert differences(changed(before, demo())) == []


def test_a_preview_without_changes_has_the_same_map() -> None:
    states = recorded()["deployment"]["resources"]
    steps = [{"op": "same", "urn": each["urn"], "oldState": each, "newState": each} for each in states]
    found = of_preview({"steps": steps})
    assert differences(found) == []
    assert FORMATS["mermaid"](found) == FORMATS["mermaid"](demo())


def test_a_preview_with_a_refresh_has_the_same_map_without_its_components() -> None:
    """The engine prints a refresh step for each resource, but none for its parent components."""
    states = [each for each in recorded()["deployment"]["resources"] if each["custom"]]
    steps = [{"op": "refresh", "urn": each["urn"], "oldState": each, "newState": each} for each in states]
    found = of_preview({"steps": steps})
    assert differences(found) == []
    assert reaches(found) == reaches(demo())


def test_a_refresh_that_runs_the_program_still_shows_an_added_port() -> None:
    """The new inputs of the refresh already contain the change.

    The update of the resource follows in a step of its own.
    """
    steps: list[dict[str, Any]] = []
    for each in recorded()["deployment"]["resources"]:
        new = copy.deepcopy(each)
        if each["type"].endswith(":UfwPolicy"):
            new["inputs"]["rules"]["in 27017/tcp"] = "allow"
            steps.append({"op": "update", "urn": each["urn"], "oldState": each, "newState": new})
        steps.insert(0, {"op": "refresh", "urn": each["urn"], "oldState": each, "newState": new})
    assert "+ internet reaches 27017/tcp" in differences(of_preview({"steps": steps}))


@pytest.mark.parametrize(
    "order", [["create-replacement", "replace", "delete-replaced"], ["delete-replaced", "create-replacement"]]
)
def test_a_replaced_resource_stays_on_the_map(order: list[str]) -> None:
    states = recorded()["deployment"]["resources"]
    steps: list[dict[str, Any]] = []
    for each in states:
        ops = order if each["urn"].endswith("::api-container") else ["same"]
        for op in ops:
            new = {} if op == "delete-replaced" else {"newState": each}
            steps.append({"op": op, "urn": each["urn"], "oldState": each, **new})
    assert differences(of_preview({"steps": steps})) == []


def test_an_undeclared_port_of_a_scan_is_red() -> None:
    row = {
        "mark": "FAIL",
        "what": "3306/tcp",
        "state": "open",
        "declared": "nobody declared it",
        "answers": "mysql: 8",
    }
    fine = {"mark": "ok", "what": "22/tcp", "state": "open", "declared": "SSH", "answers": ""}
    found = demo()
    draw.scanned(
        found, {"hosts": {"web1": {"addresses": {"203.0.113.10": [row, fine], "2001:db8::1": [row]}}}}
    )
    (only,) = found.undeclared
    assert (only.label, only.detail, only.host) == ("3306/tcp", "mysql: 8", "web1")
    assert found.edges["who:internet", only.key].status == UNDECLARED
    assert ":::undeclared" in FORMATS["mermaid"](found)
    assert "#c0271b" in FORMATS["svg"](found)


def test_an_undeclared_port_of_exposure_is_red_unless_it_is_accepted() -> None:
    declared = {
        "host": "web1",
        "listeners": {"tcp4 0.0.0.0:22": "ssh.service"},
        "accepted": {"tcp4 0.0.0.0:9": "why"},
    }
    live = {
        **declared,
        "listeners": {
            **declared["listeners"],
            "tcp4 0.0.0.0:9": "x",
            "tcp6 [::]:9000": 'process "nc" (root)',
        },
        "published": {"tcp4 0.0.0.0:3306": 'container "leak" (mysql:8)'},
    }
    found = demo()
    before = state.of_export({"deployment": {"resources": [resource("Exposure", "e", **live)]}})
    after = state.of_export({"deployment": {"resources": [resource("Exposure", "e", **declared)]}})
    draw.exposed(found, before, after)
    assert not [ends for ends in found.edges if "9000" in ends[1]], "a listening port may be unreachable"
    assert [(node.label, node.detail) for node in found.undeclared] == [
        ("3306/tcp", 'container "leak" (mysql:8) on 0.0.0.0'),
        ("9000/tcp", 'process "nc" (root) on [::]'),
    ]


def state_with(kind: str, inputs: dict[str, Any], outputs: dict[str, Any]) -> list[state.Resource]:
    one = {**resource(kind, "x", host="web1", **inputs), "outputs": {"host": "web1", **inputs, **outputs}}
    return state.of_export({"deployment": {"resources": [one]}})


def test_an_undeclared_port_in_the_state_is_red_after_an_up_and_after_a_refresh() -> None:
    declared = {"listeners": {"tcp4 0.0.0.0:22": "ssh.service"}}
    live = {"listeners": {**declared["listeners"], "tcp4 0.0.0.0:9000": "nc"}}
    for inputs in (declared, live):
        found = demo()
        draw.exposed(found, state_with("Exposure", inputs, {**live, "declared": declared}))
        assert [node.label for node in found.undeclared] == ["9000/tcp"]


@pytest.mark.parametrize("name", ["undeclared", "strangers"])
def test_an_undeclared_virtual_host_is_a_red_site(name: str) -> None:
    found = demo()
    path = "/etc/nginx/conf.d/evil.conf"
    told = {path: "nobody declared it; nginx loads it: serves evil.com, *.evil.com on 80"}
    draw.exposed(found, state_with("ServedSites", {name: {}}, {name: told}))
    (site,) = found.undeclared
    assert (site.column, site.label, site.detail) == ("site", "evil.com, *.evil.com", path)
    assert found.edges["port:web1:443/tcp", site.key].status == UNDECLARED
    page = FORMATS["html"](found)
    assert f"web1: {path}: nobody declared it; nginx loads it: serves evil.com, *.evil.com on 80" in page


def test_undeclared_things_of_the_inventory_are_listed_in_red() -> None:
    assert draw.INVENTORY == MAPS
    found = demo()
    told = {"accounts": {"mallory": "uid 1001, key"}, "docker": {"container leak": "privileged"}}
    draw.exposed(found, state_with("Inventory", {}, told))
    assert found.others == [
        "web1: accounts: mallory: uid 1001, key",
        "web1: docker: container leak: privileged",
    ]
    assert '<ul class="undeclared">' in FORMATS["html"](found)


@pytest.mark.parametrize("kind", ["RedisUser", "StoreServer"])
def test_an_undeclared_user_of_a_store_is_no_file_in_the_map(kind: str) -> None:
    found = demo()
    draw.exposed(found, state_with(kind, {"undeclared": {}}, {"undeclared": {"mallory": "may log in"}}))
    assert found.others == []


def test_the_map_in_a_comment_is_folded_unless_it_changes() -> None:
    states = recorded()["deployment"]["resources"]
    same = [{"op": "same", "urn": each["urn"], "oldState": each, "newState": each} for each in states]
    assert section({"steps": same})[0] == "<details><summary>Who reaches what: no changes</summary>"
    gone = [
        {**each, "op": "delete"} if "tunnel" in each["urn"] or "SshServer" in each["urn"] else each
        for each in same
    ]
    text = "\n".join(section({"steps": gone}))
    assert text.startswith("<details open><summary>Who reaches what: ")
    assert "- `- who alice`" in text
    assert section({}) == section({"steps": []}) == []


def test_the_comment_on_a_pull_request_has_the_map() -> None:
    policy = resource("UfwPolicy", "p", host="web1", rules={"in 25/tcp": "allow"})
    steps = {"steps": [{"op": "create", "urn": policy["urn"], "newState": policy}]}
    text = markdown.of_preview(Preview("dev", Report("dev"), steps), "")
    assert "```mermaid\nflowchart LR" in text
    assert "`+ port 25/tcp on web1`" in text


def test_a_name_cannot_end_inline_code() -> None:
    rules = {"in 9/tcp": "allow"}
    policy = resource("UfwPolicy", "p", host="we`b1", rules=rules)
    text = "\n".join(section({"steps": [{"op": "create", "urn": policy["urn"], "newState": policy}]}))
    assert "- `+ port 9/tcp on we#96;b1`" in text.replace("#43;", "+")


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        assert not any(name.startswith("on") for name, _ in attrs)


def test_names_that_are_not_trusted_stay_text() -> None:
    found = demo()
    found.add(Node("container:web1:evil", "container", "web1", EVIL, EVIL, UNDECLARED))
    found.join("site:web1:shop.example.com", "container:web1:evil", EVIL)
    text = FORMATS["mermaid"](found)
    for line in text.splitlines():
        assert "script" not in line or "#60;" in line
        assert "javascript:alert(1)" not in line
        assert "\x1b" not in line
    assert text.count("%%") == 0
    root = ET.fromstring(FORMATS["svg"](found))  # noqa: S314 - our own
    assert {element.tag.rpartition("}")[2] for element in root.iter()} <= {
        "svg", "title", "defs", "marker", "path", "rect", "text", "g",
    }  # fmt: skip
    tags = Tags()
    tags.feed(FORMATS["html"](found))
    assert "script" not in tags.seen
    assert "\x1b" not in FORMATS["svg"](found)


@pytest.mark.parametrize("text", ['"', "<", ">", "#", "&", ";", "\n", "`", "|", "]", "é"])
def test_every_special_character_is_written_as_its_number(text: str) -> None:
    assert escape(f"a{text}b") == f"a#{ord(text)};b"


def test_secrets_in_a_state_are_ignored() -> None:
    secret = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v1:x"}
    found = drawn(
        resource("SshServer", "s", host="web1", port="22", users=secret),
        resource("UfwPolicy", "p", host="web1", rules=secret),
        resource("Container", "c", name=secret, ports=secret, networksAdvanced=secret),
    )
    assert {node.label for node in found.column("port")} == {"22/tcp"}


def test_the_page_shows_the_picture_and_folds_the_text() -> None:
    shown, _, rest = FORMATS["html"](demo()).partition("<details>")  # an unfolded element has an attribute
    folded, _, end = rest.partition("</details>")
    assert "<svg" in shown
    assert "flowchart" in folded
    assert "flowchart" not in shown + end


def test_the_title_of_the_page_names_the_host_and_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    export = recorded()
    export["deployment"]["manifest"] = {"time": "2026-11-27T08:00:12.5Z"}
    (tmp_path / "bin").mkdir()
    (tmp_path / "state.json").write_text(json.dumps(export))
    pulumi = tmp_path / "bin" / "pulumi"
    pulumi.write_text(f"#!/bin/sh\ncat {tmp_path}/state.json\n")
    pulumi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{pulumi.parent}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    assert written([]) == 0
    stack = demo().stack
    title = f"Who reaches what: web1, stack {stack}, as of 2026-11-27 08:00 UTC"
    assert f"<title>{title}</title>" in (tmp_path / ".portcullis/map.html").read_text()
    said = capsys.readouterr().err
    assert "the picture, as of 2026-11-27 08:00 UTC: " in said
    assert "is newer than the map" not in said
    settings = tmp_path / f"Pulumi.{stack}.yaml"
    for written_at, noted in (("2026-11-27T07:00:00+00:00", False), ("2026-11-27T09:00:00+00:00", True)):
        settings.write_text("config: {}\n")
        at = dt.datetime.fromisoformat(written_at).timestamp()
        os.utime(settings, (at, at))
        assert written([]) == 0
        assert (f"{settings.name} is newer than the map" in capsys.readouterr().err) is noted


def written(arguments: list[str]) -> int:
    return run(parsed(["map", "--stack", "lab", *arguments]))


def test_the_command_writes_three_files_and_prints_the_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert written(["--export", str(RECORDED), "--folder", str(tmp_path / "new")]) == 0
    said = capsys.readouterr()
    assert said.out == (tmp_path / "new" / "map.mmd").read_text()
    assert "map.html" in said.err
    assert (tmp_path / "new" / "map.html").read_text().startswith("<!doctype html>")
    ET.fromstring((tmp_path / "new" / "map.svg").read_text())  # noqa: S314 - our own
    assert written(["--export", str(RECORDED), "--format", "svg"]) == 0
    assert capsys.readouterr().out.startswith("<svg")


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        ("{}", ["--export"], "has no resources yet"),
        ("nonsense", ["--export"], "is not JSON"),
        ("{}", ["--preview"], "it has no steps"),
        ("[]", ["--export"], "is not the output of `pulumi stack export`: AttributeError"),
        (
            '{"deployment": {"resources": [{}]}}',
            ["--export"],
            "the output of `pulumi stack export`: KeyError: 'urn'",
        ),
        ('{"steps": null}', ["--preview"], "is not the output of `pulumi preview --json`: TypeError"),
        ("5", ["--preview"], "is not the output of `pulumi preview --json`: TypeError"),
        ("[]", ["--export", str(RECORDED), "--scan"], "is not the output of `portcullis scan --json`: Attr"),
        ('{"hosts": {"web1": {}}}', ["--export", str(RECORDED), "--scan"], "--json`: KeyError: 'addresses'"),
    ],
)
def test_a_file_of_another_format_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, arguments: list[str], said: str
) -> None:
    file = tmp_path / "file.json"
    file.write_text(text)
    assert written([*arguments, str(file)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize("label", ["\u00b2/tcp", "9" * 5000 + "/tcp", "\u0661"])
def test_a_label_that_only_looks_like_a_port_number_is_sorted_as_a_name(label: str) -> None:
    found = Map("lab")
    for name in (label, "443/tcp"):
        found.add(Node(name, "port", "web1", name))
    assert [node.label for node in found.column("port")] == [label, "443/tcp"]
