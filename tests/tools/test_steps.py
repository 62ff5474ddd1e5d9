"""A long step shows its progress, and a failed step shows the cause."""

from __future__ import annotations

import re

import pytest

from tools import steps


def test_a_failing_step_shows_the_end_of_its_output_and_the_hint() -> None:
    with pytest.raises(steps.StepError) as caught:
        steps.step("making", ["sh", "-c", "seq 100; echo broken >&2; exit 3"], hint="Mend it.")

    message = str(caught.value)
    assert message.startswith("making failed (sh exited with 3):")
    assert "    100\n    broken\nMend it." in message
    assert "\n    50\n" not in message


def test_a_step_that_cannot_be_started_names_the_command() -> None:
    with pytest.raises(
        steps.StepError, match=r"there is no command 'no-such-command' on this machine\. Install it\."
    ):
        steps.step("making", ["no-such-command"], hint="Install it.")


def test_progress_is_shown_while_it_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(steps, "_PROGRESS_SECONDS", 0.1)
    steps.step("making", ["sh", "-c", "echo one; echo two; sleep 3"], counted="packages")
    steps.step("looking", ["sh", "-c", "echo one; echo two; sleep 3"])

    told = capsys.readouterr().err
    assert re.search(r"\d+ s  2 packages", told)
    assert re.search(r"\d+ s  two", told)


def test_a_step_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "_PROGRESS_SECONDS", 0.1)

    with pytest.raises(steps.StepError, match="not done after 0 s"):
        steps.step("waiting", ["sleep", "60"], limit=0.3)


def test_one_message_and_no_traceback_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught, steps.reported():
        raise steps.StepError("no Go here.")

    assert caught.value.code == 1
    assert capsys.readouterr().err == "\nerror: no Go here.\n"
