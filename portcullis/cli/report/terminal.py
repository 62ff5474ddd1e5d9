"""Show a report: in columns and colours on a terminal, as plain lines elsewhere."""

from __future__ import annotations

import contextlib
import io
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console
    from rich.text import Text

    from portcullis.cli.report.render import Row

_STYLES = {"title": "bold", "group": "bold", "detail": "dim", "note": "dim"}
_MARKS = {"!!": "bold red", "!": "yellow", "": ""}
_LEAST = 24
"""The least number of columns for the text of a difference, however long the remedy is."""
_EDGE = 5
"""The number of columns for the mark and the spaces around it."""


class Screen:
    """The terminal, file or pipe to which a report is printed."""

    def __init__(self, stream: TextIO | None = None, width: int | None = None) -> None:
        """Use a stream (default: standard output) and a width in columns (None: the terminal's width)."""
        self._stream = stream or sys.stdout
        self._width = width
        self._console: Console | None = None
        if self._stream.isatty() or width:
            # Only a terminal needs rich. A pipeline comments with a Python that has no packages.
            from rich.console import Console  # noqa: PLC0415

            self._console = Console(file=self._stream, width=width, highlight=False, soft_wrap=True)

    def show(self, rows: Sequence[Row]) -> None:
        """Print lines of a report. All lines of one call are aligned in the same columns."""
        if self._console is None:
            self._stream.write("".join(f"{row.plain()}\n" for row in rows))
            self._stream.flush()
            return
        for line in laid_out(rows, self._console.width):
            self._console.print(line)

    @contextlib.contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Show on a terminal what the command is doing, until the block ends."""
        if self._console is None or not self._console.is_terminal:
            yield
            return
        with self._console.status(what):
            yield


def laid_out(rows: Sequence[Row], width: int) -> list[Text]:
    """Return the lines for a terminal, in two columns: the difference, and the action of `up`."""
    from rich.cells import cell_len, set_cell_size  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    def cut(text: str, room: int) -> str:
        return text if cell_len(text) <= room else set_cell_size(text, max(room - 1, 0)).rstrip() + "…"

    differences = [row for row in rows if row.is_difference]
    widest = max((cell_len(row.text) for row in differences), default=0)
    remedies = [cell_len(row.remedy) for row in differences if cell_len(row.remedy) <= width // 2]
    column = min(widest, width - _EDGE - 2 - max(remedies, default=0))
    lines = []
    for row in rows:
        if not row.is_difference:
            lines.append(
                Text(cut(row.text, width) if row.style != "detail" else row.text, _STYLES[row.style])
            )
            continue
        room = max(min(column, width - _EDGE - 2 - cell_len(row.remedy)), _LEAST)
        what = cut(row.text, room if row.remedy else width - _EDGE)
        line = Text(f"  {row.mark:>2} ", _MARKS.get(row.mark, ""))
        line.append(what, "bold" if row.mark == "!!" else "")
        if row.remedy:
            line.append(" " * (max(column, room) - cell_len(what) + 2) if room == column else "  ")
            line.append(cut(row.remedy, width - cell_len(line.plain)), "dim")
        lines.append(line)
    return lines


def picture(rows: Sequence[Row], title: str, width: int = 80) -> str:
    """Return an SVG image of the report on a terminal."""
    from rich.console import Console  # noqa: PLC0415

    console = Console(
        record=True,
        width=width,
        file=io.StringIO(),
        highlight=False,
        force_terminal=True,
        color_system="truecolor",
    )
    for line in laid_out(rows, width):
        console.print(line, soft_wrap=True)
    return console.export_svg(title=title, unique_id="report")
