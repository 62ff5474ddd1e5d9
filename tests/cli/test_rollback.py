"""Which image an app goes back to, and what is said of it."""

from __future__ import annotations

import copy
import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.cli.rollback import Refused, roll_back, way_back

if TYPE_CHECKING:
    from collections.abc import Sequence

ONE, TWO, THREE = (f"r.example/api@sha256:{digit * 64}" for digit in "123")
URN = "urn:pulumi:lab::portcullis::portcullis:index:PrivateContainer${}::{}"


def resource(type_: str, called: str, *, delete: bool = False, **outputs: str) -> dict[str, Any]:
    found = {"type": type_, "urn": URN.format(type_, called), "outputs": outputs}
    return {**found, "delete": True} if delete else found


def deployed(well: str, before: str, tried: str = "") -> dict[str, Any]:
    state, image = "portcullis:index:ContainerState", "docker:index/remoteImage:RemoteImage"
    return {
        "resources": [
            resource(image, "api-image", name=tried or well),
            resource(image, "api-image", name=before, delete=True),
            resource(state, "api-state", image=well, previous_image=before, expects="healthy"),
            resource(state, "api-before-1-state", image=well, previous_image="", expects="exited"),
        ]
    }


@pytest.mark.parametrize("configured", [TWO, "r.example/api:1.4"])
def test_the_image_before_the_one_that_serves(configured: str) -> None:
    assert way_back("api", configured, deployed(TWO, ONE)).image == ONE


@pytest.mark.parametrize("configured", [THREE, "r.example/api:1.4"])
def test_the_image_that_serves_when_the_declared_one_never_got_well(configured: str) -> None:
    way = way_back("api", configured, deployed(TWO, ONE, tried=THREE))
    assert way.image == TWO
    assert "never got well" in way.why


def test_two_failures_in_a_row_do_not_make_a_bad_image_the_one_to_go_back_to() -> None:
    assert way_back("api", THREE, deployed(ONE, "", tried=THREE)).image == ONE


def test_there_is_nothing_before_the_first() -> None:
    with pytest.raises(Refused, match="api has had one image only"):
        way_back("api", ONE, deployed(ONE, ""))


def test_an_app_that_was_never_deployed_is_told_from_those_that_were() -> None:
    state = deployed(ONE, "")
    redis = copy.deepcopy(state["resources"][0])
    redis["urn"] = "urn:pulumi:dev::p::portcullis:index:Redis$portcullis:index:ContainerState::redis-state"
    state["resources"].append(redis | {"type": "portcullis:index:ContainerState"})
    with pytest.raises(Refused, match=r"shop was never deployed with this stack; known are api$"):
        way_back("shop", ONE, state)
    with pytest.raises(Refused, match="known are none"):
        way_back("shop", ONE, {})


class Pulumi:
    """Answers as the command line does."""

    def __init__(self, configured: str, deployment: dict[str, Any], up: int = 0) -> None:
        self.ran: list[list[str]] = []
        self._answers = {"get": configured, "export": json.dumps({"deployment": deployment})}
        self._up = up

    def __call__(self, argv: Sequence[str], *, capture: bool) -> subprocess.CompletedProcess[str]:
        self.ran.append(list(argv))
        assert capture == (argv[0] != "up")
        said = self._answers.get(argv[1], "")
        code = 1 if argv[1] == "get" and not said else self._up if argv[0] == "up" else 0
        return subprocess.CompletedProcess(list(argv), code, said, "no such key" if code else "")


def test_it_writes_the_settings_says_so_and_runs_up(capsys: pytest.CaptureFixture[str]) -> None:
    pulumi = Pulumi(TWO, deployed(TWO, ONE), up=7)
    assert roll_back("api", "prod", ["--yes"], pulumi) == 7
    assert pulumi.ran[-2:] == [
        ["config", "set", "--stack", "prod", "--path", "portcullis:apps.api.image", ONE],
        ["up", "--stack", "prod", "--yes"],
    ]
    said = capsys.readouterr().out
    assert f"api: {TWO}\n  -> {ONE}" in said
    assert "Pulumi.prod.yaml" in said


@pytest.mark.parametrize(
    ("pulumi", "words"),
    [
        (Pulumi(ONE, deployed(ONE, "")), "error: api has had one image only"),
        (Pulumi("", {}), "error: api was never deployed with this stack"),
        # A program of its own names its images in code.
        (
            Pulumi("", deployed(TWO, ONE)),
            f"write the image where your program names it, and run `up`:\n  {ONE}\n",
        ),
    ],
)
def test_what_cannot_be_changes_nothing(
    pulumi: Pulumi, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert roll_back("api", "prod", [], pulumi) == 1
    assert words in capsys.readouterr().out
    assert not [argv for argv in pulumi.ran if argv[0] == "up" or argv[1] == "set"]
