"""What both halves of `Fail2banJail` exchange, and where a jail's file is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from portcullis.agent.wire import Desired, Facts, Spec

JAIL_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}\Z")
"""A name is part of a file's and of an nft set's name."""
OURS = "zz-portcullis"
"""How the names of our files in jail.d begin. fail2ban reads them after what people usually write."""
NEVER = "never banned"
"""The value of each address in `ignoreip`."""


def jail_file(jail: str) -> str:
    """Return the path of a jail's file below fail2ban's own folder."""
    return f"jail.d/{OURS}-{jail}.local"


@dataclass(frozen=True)
class JailSpec(Spec):
    """How to read a jail.

    Attributes:
        jail: its name.
        options: the declared options, by name, in alphabetical order; only these are read.
        whole: read the rest of fail2ban's folder as well.
        accepted: files of others that may be there.
    """

    jail: str
    options: Mapping[str, str]
    whole: bool = False
    accepted: Sequence[str] = ()


@dataclass(frozen=True)
class JailDesired(Desired):
    """A jail as it is declared.

    Attributes:
        jail: its name.
        path: its file.
        content: text of the file.
        enabled: it runs.
        options: name to value, as jail.conf(5) has them; lengths of time in seconds.
        ignoreip: addresses and networks that it never bans, each with `NEVER`.
        whole: tell of the rest of fail2ban's folder as well; one jail of a host does.
        broken: empty; in a state that was read back, the line by which fail2ban refused its configuration.
        strangers: empty; in a state that was read back, what in the folder nobody declared.
        accepted: files of others that may be there, each with the reason.
    """

    jail: str
    path: str
    content: str
    enabled: bool
    options: Mapping[str, str]
    ignoreip: Mapping[str, str]
    whole: bool = False
    broken: str = ""
    strangers: Mapping[str, str] = field(default_factory=dict)
    accepted: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Its name."""
        return self.jail

    def spec(self) -> JailSpec:
        """Return its name and its options, and what of the folder is asked."""
        return JailSpec(self.jail, dict(sorted(self.options.items())), self.whole, sorted(self.accepted))


@dataclass(frozen=True)
class JailFacts(Facts):
    """A jail as it is.

    Attributes:
        content: text of our file; "" where there is none.
        enabled: it runs.
        options: what it runs on; of a jail that does not run, what the files say.
        ignoreip: whom it never bans, each with `NEVER`.
        overridden: options that files after ours set: name to value and file.
        enforced: the packet filter has each of its bans.
        broken: the line by which fail2ban refuses its configuration; "" where it takes it.
        strangers: what in fail2ban's folder is neither declared nor as its package brings it, by path.
    """

    content: str = ""
    enabled: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    ignoreip: Mapping[str, str] = field(default_factory=dict)
    overridden: Mapping[str, str] = field(default_factory=dict)
    enforced: bool = True
    broken: str = ""
    strangers: Mapping[str, str] = field(default_factory=dict)
