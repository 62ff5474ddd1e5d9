from __future__ import annotations

import subprocess

import pytest

from portcullis.cli import heard as module
from portcullis.cli.heard import TooMuch, heard


def test_all_that_is_said_is_heard() -> None:
    done = heard(["sh", "-c", "cat; echo no >&2; exit 3"], "grüß dich")
    assert (done.returncode, done.stdout, done.stderr) == (3, "grüß dich", "no\n")
    with pytest.raises(subprocess.TimeoutExpired):
        heard(["sleep", "9"], timeout=0.1)


@pytest.mark.parametrize("where", ["", " >&2"])
def test_a_machine_that_never_stops_talking_is_not_listened_to(
    monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(module, "MOST", 1 << 20)
    with pytest.raises(TooMuch, match="more than 1 MB"):
        heard(["sh", "-c", f"yes{where}"], timeout=9)
