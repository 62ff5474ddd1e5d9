"""The data about a jail that the provider and the host exchange, and the path of a jail's file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from portcullis.agent.wire import Desired, Facts, Spec

JAIL_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}\Z")
"""The pattern of a jail's name. The names of the jail's file and of its nft sets contain the jail's name."""
OURS = "zz-portcullis"
"""The names of our files in jail.d begin with this text, so that fail2ban reads our files after other
files."""
NEVER = "never banned"
"""The value of each address in the map `ignoreip`."""


def jail_file(jail: str) -> str:
    """Return the path of a jail's file below fail2ban's own folder."""
    return f"jail.d/{OURS}-{jail}.local"


@dataclass(frozen=True)
class JailSpec(Spec):
    """The jail to read, and the options to read.

    Attributes:
        jail: the name of the jail.
        options: the declared options, by name, in alphabetical order. The agent reads only these options.
        whole: whether to read the rest of fail2ban's folder as well.
        accepted: undeclared files that may stay in the folder.
    """

    jail: str
    options: Mapping[str, str]
    whole: bool = False
    accepted: Sequence[str] = ()


@dataclass(frozen=True)
class JailDesired(Desired):
    """A declared jail of fail2ban.

    Attributes:
        jail: the name of the jail.
        path: the path of the jail's file.
        content: the text of the jail's file.
        enabled: whether the jail runs.
        options: the values of the options by name, as in jail.conf(5). Durations in options are in seconds.
        ignoreip: addresses and networks that the jail never bans, each with `NEVER`.
        whole: whether to report undeclared files in fail2ban's folder too. Only one jail of a host has the
            value true.
        broken: the declared value is empty. If fail2ban refuses its configuration, a refresh sets the value
            to fail2ban's error line.
        undeclared: the declared value is empty. A refresh sets the value to the undeclared files in the
            folder.
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
    undeclared: Mapping[str, str] = field(default_factory=dict)
    accepted: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The name of the jail."""
        return self.jail

    def spec(self) -> JailSpec:
        """Return the jail's name and options, and whether to read the folder."""
        return JailSpec(self.jail, dict(sorted(self.options.items())), self.whole, sorted(self.accepted))


@dataclass(frozen=True)
class JailFacts(Facts):
    """A jail on the host.

    Attributes:
        content: the text of our file for the jail; "" if the file does not exist.
        enabled: whether the jail runs.
        options: the values with which the jail runs. If the jail does not run, these are the values in the
            files.
        ignoreip: addresses that the jail never bans, each with `NEVER`.
        overridden: options that a later file overrides, each with the later value and its file.
        enforced: whether the packet filter contains every ban of the jail.
        broken: fail2ban's error line if fail2ban refuses its configuration; "" if the configuration is valid.
        undeclared: undeclared files in fail2ban's folder, and changed files of packages, by path.
        fixes: for each of `undeclared` its severity, the action that repairs it, and the action's operands.
    """

    content: str = ""
    enabled: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    ignoreip: Mapping[str, str] = field(default_factory=dict)
    overridden: Mapping[str, str] = field(default_factory=dict)
    enforced: bool = True
    broken: str = ""
    undeclared: Mapping[str, str] = field(default_factory=dict)
    fixes: Mapping[str, Sequence[str]] = field(default_factory=dict)
