"""What `portcullis tunnels` and `password` say where a stack has none, so that people know what to do."""

from __future__ import annotations

import argparse
import json
from typing import Any

import pytest

from portcullis.cli import command, password, tunnels


@pytest.fixture(autouse=True)
def stack(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A stack whose outputs and settings are the tests'."""
    found: dict[str, Any] = {"outputs": {}, "settings": {}}
    monkeypatch.setattr(command, "answer", lambda *_: json.dumps(found["outputs"]))
    monkeypatch.setattr(command, "settings", lambda _stack: found["settings"])
    return found


def test_a_program_without_settings_is_led_to_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert tunnels.run(argparse.Namespace(stack="dev")) == 1
    said = capsys.readouterr().err
    assert said.startswith("stack dev has no portcullis:hosts in its settings")
    assert "docs/tunnels.md" in said


def test_a_stack_without_passwords_is_led_to_what_exports_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert password.run(argparse.Namespace(stack="dev", store="redis")) == 1
    assert "export_tunnels" in capsys.readouterr().err


def test_a_password_of_nobody_names_those_that_there_are(
    stack: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    stack["outputs"] = {"password-redis-api": "x", "sites": []}
    assert password.run(argparse.Namespace(stack="dev", store="mongo")) == 1
    assert capsys.readouterr().err == "there is no password of mongo; known are redis-api\n"
