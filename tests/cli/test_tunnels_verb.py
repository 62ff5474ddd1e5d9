"""If a stack has no tunnels or passwords, `portcullis tunnels` and `portcullis password` say what to do."""

from __future__ import annotations

import argparse
import json
from typing import Any

import pytest

from portcullis.cli import command, password, tunnels


@pytest.fixture(autouse=True)
def stack(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A stack whose outputs and settings a test can set."""
    found: dict[str, Any] = {"outputs": {}, "settings": {}}
    monkeypatch.setattr(command, "answer", lambda *_: json.dumps(found["outputs"]))
    monkeypatch.setattr(command, "settings", lambda _stack: found["settings"])
    return found


def test_tunnels_of_a_stack_without_settings_names_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert tunnels.run(argparse.Namespace(stack="dev")) == 1
    said = capsys.readouterr().err
    assert said.startswith("stack dev has no portcullis:hosts in its settings")
    assert "docs/tunnels.md" in said


def test_password_of_a_stack_without_passwords_says_how_to_export(capsys: pytest.CaptureFixture[str]) -> None:
    assert password.run(argparse.Namespace(stack="dev", store="redis")) == 1
    assert "export_tunnels" in capsys.readouterr().err


def test_an_unknown_password_lists_the_known_ones(
    stack: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    stack["outputs"] = {"password-redis-api": "x", "sites": []}
    assert password.run(argparse.Namespace(stack="dev", store="mongo")) == 1
    assert capsys.readouterr().err == "no password of mongo; there are passwords of redis-api\n"
