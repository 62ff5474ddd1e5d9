"""The settings of a host's SSH server."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from portcullis.components.ssh.render import sshd_refused
from portcullis.config.section import Section, Written
from portcullis.config.value_types import Choice, MapOf, NumberOrText, Text, valid

RootLogin = Annotated[
    Literal["prohibit-password", "no"],
    Choice("a rule for root", refused={"yes": "no user may log in with a password"}),
]
Keyword = Annotated[
    str,
    Text(
        "a keyword of sshd_config", r"[A-Z][A-Za-z0-9]+", "spell the keyword as the manual does: MaxSessions"
    ),
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
    """The settings of a host's SSH server. No setting lets anybody log in without a key."""

    what: ClassVar[str] = "an SSH server"

    root_login: RootLogin = "prohibit-password"
    """Whether root may log in: with a key only (`prohibit-password`), or never (`no`)."""
    options: MapOf[Keyword, Value] = Field(default_factory=dict)
    """Options of sshd_config that replace our values or add to them: `MaxSessions: 20`."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse options that allow a login without a key, and options that have their own setting."""
        options = {name: valid(Value, value) for name, value, _ in written.items("options")}
        # `valid` gives None for a value of the wrong form. The check of the value itself has reported this
        # fault.
        for name, why, how in sshd_refused.refusals({k: v for k, v in options.items() if v is not None}):
            hint = how.replace("rootLogin", written.at.spell("root_login"))
            written.at.field("options").key(name).report(why, hint)
