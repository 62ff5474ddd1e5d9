"""The map of the demo's recorded state, and the map of a change, as text, picture and page."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.cli.map import draw, state
from portcullis.cli.map.comment import of_preview, section
from portcullis.cli.map.main import FORMATS

if TYPE_CHECKING:
    from portcullis.cli.map.model import Map
    from tests.golden.conftest import Golden

RECORDED = Path(__file__).parent / "recorded" / "demo-state.json"
PICTURE = Path(__file__).parents[2] / "docs" / "map.svg"
ENDS = {"mermaid": "mmd", "svg": "svg", "html": "html"}


def recorded() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RECORDED.read_text())
    return found


def demo() -> Map:
    return draw.draw(state.of_export(recorded()))


def preview() -> dict[str, Any]:
    """Return a preview that removes Redis, adds an app and a port, and finds an undeclared database."""
    steps: list[dict[str, Any]] = []
    for resource in recorded()["deployment"]["resources"]:
        old, new = resource, copy.deepcopy(resource)
        name = resource["urn"].rpartition("::")[2]
        op = "delete" if name in ("redis", "redis-container") else "same"
        if name == "web1-firewall-policy":
            new["inputs"]["rules"]["in 8443/tcp from 203.0.113.0/24"] = "allow # from the settings"
        if name == "web1-ssh-server":
            new["inputs"]["users"]["tunnel-alice"]["PermitOpen"] = "172.17.0.1:27017"
        steps.append({"op": op, "urn": resource["urn"], "oldState": old, "newState": new})
        if name in ("api", "api-container"):
            added = json.loads(
                json.dumps(resource)
                .replace("::api", "::jobs")
                .replace('"api-1"', '"jobs-1"')
                .replace("28000", "28001")
            )
            added["outputs"], added["inputs"] = {}, copy.deepcopy(added["inputs"]) | {"name": "jobs"}
            steps.append({"op": "create", "urn": added["urn"], "newState": added})
    exposure = {
        "urn": "urn:pulumi:lab::portcullis::portcullis:index:Exposure::web1-exposure-found",
        "type": "portcullis:index:Exposure",
    }
    declared = {
        "host": "web1",
        "listeners": {"tcp4 0.0.0.0:22": "ssh.service"},
        "published": {},
        "accepted": {},
    }
    live = {**declared, "published": {"tcp4 0.0.0.0:3306": 'container "leak" (mysql:8)'}}
    steps.append(
        {
            "op": "update",
            "urn": exposure["urn"],
            "oldState": {**exposure, "inputs": live, "outputs": live},
            "newState": {**exposure, "inputs": declared, "outputs": live},
        }
    )
    return {"steps": steps}


@pytest.mark.parametrize("form", FORMATS)
def test_the_map_of_the_demo(golden: Golden, form: str) -> None:
    golden(f"map-demo.{ENDS[form]}", FORMATS[form](demo()))


@pytest.mark.parametrize("form", FORMATS)
def test_the_map_of_a_change(golden: Golden, form: str) -> None:
    golden(f"map-change.{ENDS[form]}", FORMATS[form](of_preview(preview())))


def test_the_picture_in_the_documentation(golden: Golden) -> None:
    golden(PICTURE, FORMATS["svg"](of_preview(preview())))


def test_the_map_of_a_change_in_a_comment(golden: Golden) -> None:
    golden("map-comment.md", "\n".join(section(preview())))
