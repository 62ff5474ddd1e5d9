"""What is particular about a host's SSH server."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from portcullis.components.ssh.render import sshd_refused
from portcullis.config.section import Section, Written
from portcullis.config.value_types import Choice, MapOf, NumberOrText, Text, valid

RootLogin = Annotated[
    Literal["prohibit-password", "no"],
    Choice("a rule for root", refused={"yes": "passwords get no one in"}),
]
Keyword = Annotated[
    str, Text("a keyword of sshd_config", r"[A-Z][A-Za-z0-9]+", "spell it as its manual does: MaxSessions")
]
Value = Annotated[
    str,
    NumberOrText(
        Text(
            "a value of sshd_config",
            r"""[^"#\\\x00-\x1f\s](?:[^"#\\\x00-\x1f]*[^"#\\\x00-\x1f\s])?""",
            'write "yes" and "no" in quotes',
        )
    ),
]


class SshArgs(Section):
    """What is particular about a host's SSH server. Nothing here lets anybody in without a key."""

    what: ClassVar[str] = "an SSH server"

    root_login: RootLogin = "prohibit-password"
    """Root by key only (`prohibit-password`), or not at all (`no`)."""
    options: MapOf[Keyword, Value] = Field(default_factory=dict)
    """Single options of sshd_config that differ from ours: `MaxSessions: 20`."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse options that open a way in beside keys, or that have a key of their own."""
        options = {name: valid(Value, value) for name, value, _ in written.items("options")}
        # A value that is wrong in itself has been reported already.
        for name, why, how in sshd_refused.refusals({k: v for k, v in options.items() if v is not None}):
            hint = how.replace("rootLogin", written.at.spell("root_login"))
            written.at.field("options").key(name).report(why, hint)
