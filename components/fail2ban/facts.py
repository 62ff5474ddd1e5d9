"""The data that both halves of `Fail2banJail` exchange, and the path of a jail's file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from portcullis.agent.wire import Desired, Facts, Spec

JAIL_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}\Z")
"""The form of a jail's name, which is a part of the names of its file and of its nft sets."""
OURS = "zz-portcullis"
"""The names of our files in jail.d begin with this, so that fail2ban reads them after other files."""
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
        options: the declared options, by name, in alphabetical order. Only these are read.
        whole: read the rest of fail2ban's folder as well.
        accepted: undeclared files that may stay in the folder.
    """

    jail: str
    options: Mapping[str, str]
    whole: bool = False
    accepted: Sequence[str] = ()


@dataclass(frozen=True)
class JailDesired(Desired):
    """A declared jail.

    Attributes:
        jail: its name.
        path: the path of its file.
        content: text of the file.
        enabled: whether it runs.
        options: name to value, as in jail.conf(5). Lengths of time are seconds.
        ignoreip: addresses and networks that the jail never bans, each with `NEVER`.
        whole: report on the rest of fail2ban's folder too. One jail of a host does.
        broken: empty. After a refresh, the line with which fail2ban refuses its configuration.
        strangers: empty. After a refresh, the undeclared files in the folder.
        accepted: undeclared files that may stay in the folder, each with the reason.
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
        """Return its name and options, and whether to read the folder."""
        return JailSpec(self.jail, dict(sorted(self.options.items())), self.whole, sorted(self.accepted))


@dataclass(frozen=True)
class JailFacts(Facts):
    """A jail on the host.

    Attributes:
        content: text of our file; "" if the file does not exist.
        enabled: whether it runs.
        options: the values that it runs with. For a jail that does not run, the values in the files.
        ignoreip: addresses that the jail never bans, each with `NEVER`.
        overridden: options that files after ours set: name to value and file.
        enforced: the packet filter has each of its bans.
        broken: the line with which fail2ban refuses its configuration; "" if the configuration is valid.
        strangers: files in fail2ban's folder that are neither declared nor as their package ships them, by
            path.
    """

    content: str = ""
    enabled: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    ignoreip: Mapping[str, str] = field(default_factory=dict)
    overridden: Mapping[str, str] = field(default_factory=dict)
    enforced: bool = True
    broken: str = ""
    strangers: Mapping[str, str] = field(default_factory=dict)
