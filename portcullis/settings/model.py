"""What a stack's settings say, after validation: plain frozen data."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an SSH server listens, and the pinned key that shows that it is the right one."""

    address: str
    user: str
    port: int
    host_key: str | None
    trust_host_key: bool
    identity_file: str | None


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """The login that a bare host offers before the declared one exists."""

    user: str
    port: int


@dataclass(frozen=True, slots=True)
class SshSettings:
    """What is particular about a host's SSH server; `options` are lines of sshd_config."""

    root_login: Literal["prohibit-password", "no"]
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class UserSettings:
    """Somebody who logs in. `keys` maps a name for each public key to its line."""

    keys: Mapping[str, str]
    sudo: bool


@dataclass(frozen=True, slots=True)
class FirewallRule:
    """Who may use an open port; nobody named means everybody."""

    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FirewallSettings:
    """What reaches a host beside SSH and nginx, and its containers. Ports are written as "8443/tcp"."""

    allow: Mapping[str, FirewallRule]
    public: Mapping[str, FirewallRule]
    outside: tuple[str, ...]
    logging: str


@dataclass(frozen=True, slots=True)
class Fail2banSettings:
    """Who is banned. Times are written as fail2ban reads them: seconds, or 10m, 12h, 7d, 8w."""

    ignore: tuple[str, ...]
    max_retry: int
    find_time: str
    ban_time: str


@dataclass(frozen=True, slots=True)
class UpdatesSettings:
    """Unattended upgrades: `reboot` is a time of day or "never", `docker` "hold" or "upgrade"."""

    reboot: str
    docker: Literal["hold", "upgrade"]


@dataclass(frozen=True, slots=True)
class KernelSettings:
    """Kernel settings that differ from ours, and the prefixes of those that are managed; none means all."""

    values: Mapping[str, str]
    only: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UpkeepSettings:
    """Limits of journal ("500M") and swap ("2G", "none"), when images are pruned, who hears of failures.

    `time_sync` is false where the clock is somebody else's.
    """

    journal: str
    image_prune: Literal["daily", "weekly", "monthly", "never"]
    time_sync: bool
    swap: str
    notify: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Pool:
    """A network that the networks of containers are cut from, each with a prefix of `size`."""

    base: str
    size: int


@dataclass(frozen=True, slots=True)
class DockerEngineSettings:
    """What is particular about a host's Docker engine."""

    bip: str
    address_pools: tuple[Pool, ...]

    @property
    def bind_address(self) -> str:
        """The one address that containers are published on: that of docker0, as `bip` sets it."""
        return str(ipaddress.IPv4Interface(self.bip).ip)


@dataclass(frozen=True, slots=True)
class HostSettings:
    """One host of the stack. Ports are TCP ports; `adopt` lets the first run replace what it finds there."""

    address: str
    os: str
    user: str
    port: int
    host_key: str | None
    trust_host_key: bool
    identity_file: str | None
    jump: Endpoint | None
    bootstrap: Bootstrap | None
    adopt: bool
    ssh: SshSettings
    users: Mapping[str, UserSettings]
    firewall: FirewallSettings
    fail2ban: Fail2banSettings
    updates: UpdatesSettings
    kernel: KernelSettings
    upkeep: UpkeepSettings
    docker_engine: DockerEngineSettings


@dataclass(frozen=True, slots=True)
class AppSettings:
    """One container. `memory` is in MB, `cpus` a decimal number as text; `host` "" means the only one.

    `egress` lists what it may reach outside; None is everything.
    """

    image: str
    host: str
    port: int | None
    host_port: int | None
    health: str | None
    health_command: tuple[str, ...] | None
    env: Mapping[str, str]
    command: tuple[str, ...] | None
    user: str
    memory: int
    cpus: str
    egress: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class SiteSettings:
    """What is served under one host name."""

    app: str


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a stack declares. `secret` names the top-level keys that hold an encrypted value."""

    hosts: Mapping[str, HostSettings]
    apps: Mapping[str, AppSettings]
    sites: Mapping[str, SiteSettings]
    secret: frozenset[str]

    def host_of(self, app: str) -> str:
        """Give the alias of the host that runs an app."""
        return self.apps[app].host or next(iter(self.hosts))

    def apps_on(self, host: str) -> dict[str, AppSettings]:
        """Give the apps of one host, by name."""
        return {name: app for name, app in self.apps.items() if self.host_of(name) == host}

    def sites_on(self, host: str) -> dict[str, SiteSettings]:
        """Give the sites whose app runs on one host, by host name."""
        return {name: site for name, site in self.sites.items() if self.host_of(site.app) == host}
