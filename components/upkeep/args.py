"""What keeps a host going for years."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from portcullis.config.forms import Argument, is_program
from portcullis.config.section import Section, Written
from portcullis.config.value_types import Choice, ListOf, Text

_SIZE = r"[1-9][0-9]{0,5}[MG]"
Size = Annotated[str, Text("a size", _SIZE, "write 500M or 2G")]
Swap = Annotated[str, Text("a size of swap", rf"none|{_SIZE}", "write 2G, or none")]
Prune = Annotated[Literal["daily", "weekly", "monthly", "never"], Choice("a rule for images")]


class UpkeepArgs(Section):
    """How much room things take, and who hears of failures."""

    what: ClassVar[str] = "upkeep"

    journal: Size = "500M"
    """How much room the journal may take."""
    image_prune: Prune = "weekly"
    """How often container images that nothing uses are removed. Volumes never are."""
    time_sync: bool = True
    """Keep the clock right with systemd-timesyncd; `false` where another program does, and on a host that is
    itself a container."""
    swap: Swap = "none"
    """Size of the swap file, or `none`."""
    notify: ListOf[Argument] | None = None
    """The command on the host that is told of a unit that failed; it gets the unit's name. Everybody on the
    host can read it: a secret belongs in a file of root's that it reads."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Ask for a program by its whole path, as systemd wants it."""
        command = [str(word) for word, _ in written.elements("notify")]
        if isinstance(written.get("notify"), list | tuple) and not is_program("".join(command[:1])):
            written.at.field("notify").refuse(
                written.get("notify"), "begins with no program by its whole path", "write [/usr/…]"
            )
