"""What `make test` fetches is tried three times."""

from __future__ import annotations

import pytest

from tests import prepare
from tools.steps import StepError


@pytest.mark.parametrize(("failures", "said"), [(0, ""), (2, ""), (3, "the mirror says 502")])
def test_a_step_is_tried_three_times(failures: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    left = [StepError("the mirror says 502")] * failures

    def step() -> None:
        if left:
            raise left.pop()

    assert prepare.tried(step, pause=0) == said
    assert capsys.readouterr().err.count("it is tried again") == min(failures, 2)


def test_all_that_failed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise StepError("no")

    monkeypatch.setattr(prepare, "STEPS", (fails, lambda: None, fails))
    monkeypatch.setattr(prepare, "TRIES", 1)
    with pytest.raises(SystemExit, match="error: no\nerror: no"):
        prepare.main()
