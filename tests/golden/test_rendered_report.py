"""The preview in the README and its picture, rendered from a recorded run of the engine."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.cli.report import events, render
from portcullis.cli.report.differences import Report, collect
from portcullis.cli.report.terminal import Screen, picture

if TYPE_CHECKING:
    from tests.golden.conftest import Golden

RECORDED = Path(__file__).parent / "recorded" / "preview-events.jsonl"
PICTURE = Path(__file__).parents[2] / "docs" / "report.svg"


def report() -> Report:
    lines = RECORDED.read_text().splitlines()
    return collect(found for line in lines if (found := events.read(line))).report(8)


def test_the_report_without_a_terminal(golden: Golden) -> None:
    golden("report.txt", render.text(report()))
    golden("report-details.txt", render.text(report(), details=True))


def test_the_report_on_a_terminal(golden: Golden) -> None:
    said = io.StringIO()
    Screen(said, 80).show(render.rows(report()))
    golden("report-80.txt", said.getvalue())


def test_the_picture_in_the_readme(golden: Golden) -> None:
    shown = render.rows(report(), more="portcullis preview --stack prod --details")
    golden(PICTURE, picture(shown, "portcullis preview --stack prod"))
