"""Tests which image `portcullis rollback` chooses, and what it prints."""

from __future__ import annotations

import copy
import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.cli.rollback import Refused, choose_image, roll_back

if TYPE_CHECKING:
    from collections.abc import Sequence

ONE, TWO, THREE = (f"r.example/api@sha256:{digit * 64}" for digit in "123")
URN = "urn:pulumi:lab::portcullis::portcullis:index:PrivateContainer${}::{}"


def resource(type_: str, called: str, *, delete: bool = False, **outputs: str) -> dict[str, Any]:
    found = {"type": type_, "urn": URN.format(type_, called), "outputs": outputs}
    return {**found, "delete": True} if delete else found


def deployed(healthy: str, before: str, pulled: str = "") -> dict[str, Any]:
    state, image = "portcullis:index:ContainerState", "docker:index/remoteImage:RemoteImage"
    return {
        "resources": [
            resource(image, "api-image", name=pulled or healthy),
            resource(image, "api-image", name=before, delete=True),
            resource(state, "api-state", image=healthy, previous_image=before, expects="healthy"),
            resource(state, "api-before-1-state", image=healthy, previous_image="", expects="exited"),
        ]
    }


@pytest.mark.parametrize("configured", [TWO, "r.example/api:1.4"])
def test_the_image_before_the_running_one(configured: str) -> None:
    assert choose_image("api", configured, deployed(TWO, ONE)).image == ONE


@pytest.mark.parametrize("configured", [THREE, "r.example/api:1.4"])
def test_the_running_image_if_the_declared_one_never_became_healthy(configured: str) -> None:
    choice = choose_image("api", configured, deployed(TWO, ONE, pulled=THREE))
    assert choice.image == TWO
    assert "never became healthy" in choice.why


def test_a_bad_image_is_never_chosen_even_after_two_failures() -> None:
    assert choose_image("api", THREE, deployed(ONE, "", pulled=THREE)).image == ONE


def test_there_is_no_image_before_the_first() -> None:
    with pytest.raises(Refused, match="api has had only one image"):
        choose_image("api", ONE, deployed(ONE, ""))


def test_an_unknown_app_lists_the_deployed_apps() -> None:
    state = deployed(ONE, "")
    for kind in ("Redis", "MongoDB", "PostgreSQL"):
        store = copy.deepcopy(state["resources"][0])
        store["urn"] = f"urn:pulumi:dev::p::portcullis:index:{kind}$portcullis:index:ContainerState::db-state"
        state["resources"].append(store | {"type": "portcullis:index:ContainerState"})
    with pytest.raises(Refused, match=r"this stack never deployed shop; its apps are api$"):
        choose_image("shop", ONE, state)
    with pytest.raises(Refused, match="its apps are none"):
        choose_image("shop", ONE, {})


class Pulumi:
    """A stand-in that answers like Pulumi's command line."""

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
        (Pulumi(ONE, deployed(ONE, "")), "error: api has had only one image"),
        (Pulumi("", {}), "error: this stack never deployed api"),
        # The user's own program names its images in code.
        (
            Pulumi("", deployed(TWO, ONE)),
            f"is not set. Write this image into your program and run `up`:\n  {ONE}\n",
        ),
    ],
)
def test_an_impossible_rollback_changes_nothing(
    pulumi: Pulumi, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert roll_back("api", "prod", [], pulumi) == 1
    assert words in capsys.readouterr().out
    assert not [argv for argv in pulumi.ran if argv[0] == "up" or argv[1] == "set"]
