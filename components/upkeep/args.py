"""The settings section for a host's upkeep."""

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
    """Limits for disk space, the clock, swap, and the command that reports failed units."""

    what: ClassVar[str] = "upkeep"

    journal: Size = "500M"
    """How much disk space the journal may take."""
    image_prune: Prune = "weekly"
    """How often the host removes container images that no container uses. The host never removes volumes."""
    time_sync: bool = True
    """Whether systemd-timesyncd keeps the clock right. Write `false` if another program does this, or if the
    host is itself a container."""
    swap: Swap = "none"
    """Size of the swap file, or `none`."""
    notify: ListOf[Argument] | None = None
    """A command that the host runs when a unit fails. The command's last argument is the unit's name. Every
    user of the host can read the command line, so put secrets into a file that only root can read."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Require the whole path of the program, which systemd needs."""
        command = [str(word) for word, _ in written.elements("notify")]
        if isinstance(written.get("notify"), list | tuple) and not is_program("".join(command[:1])):
            written.at.field("notify").refuse(
                written.get("notify"),
                "does not begin with the whole path of a program",
                "write the whole path, such as [/usr/local/bin/notify]",
            )
