"""What a stack's settings say, after validation: plain frozen data."""

from __future__ import annotations

import base64
import ipaddress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from portcullis.settings.stores import StoresSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.settings.acme import AcmeSettings
    from portcullis.settings.backups import BackupSettings
    from portcullis.settings.policies import PolicySettings
    from portcullis.settings.proxy import ProxySettings
    from portcullis.settings.sites import SiteSettings
    from portcullis.settings.tunnels import TunnelSettings


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
class PreviewSettings:
    """Where the preview key may come from; nowhere named means everywhere."""

    sources: tuple[str, ...]


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
class ExposureSettings:
    """What a host may expose beside what is declared: a key as the host tells it → why."""

    accept: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class HostSettings:
    """One host of the stack. Ports are TCP ports; `adopt` lets the first run replace what it finds there.

    `address_v6` is beside an `address` of IPv4. `probe` ends each `up` with a look from outside.
    """

    address: str
    os: str
    user: str
    port: int
    host_key: str | None
    trust_host_key: bool
    identity_file: str | None
    address_v6: str | None
    jump: Endpoint | None
    bootstrap: Bootstrap | None
    adopt: bool
    probe: bool
    ssh: SshSettings
    users: Mapping[str, UserSettings]
    preview: PreviewSettings | None
    firewall: FirewallSettings
    fail2ban: Fail2banSettings
    updates: UpdatesSettings
    kernel: KernelSettings
    upkeep: UpkeepSettings
    docker_engine: DockerEngineSettings
    proxy: ProxySettings
    exposure: ExposureSettings


@dataclass(frozen=True, slots=True)
class JobsSettings:
    """Command lines that run once for each release of an app: before it starts, and once it is well."""

    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AppSettings:
    """One container. `memory` is in MB, `cpus` a decimal number as text; `host` "" means the only one.

    `uses` names stores ("redis", "mongo.shop"), `secrets` names secrets of the stack. `volumes` maps a name
    to the path inside. `stop_grace` is in seconds. `egress` lists what it may reach outside; None is
    everything.
    """

    image: str
    host: str
    port: int | None
    host_port: int | None
    health: str | None
    health_command: tuple[str, ...] | None
    env: Mapping[str, str]
    uses: tuple[str, ...]
    secrets: tuple[str, ...]
    volumes: Mapping[str, str]
    jobs: JobsSettings
    command: tuple[str, ...] | None
    user: str
    memory: int
    cpus: str
    pids: int
    stop_grace: int
    egress: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Credentials:
    """A login at a registry; the password is never shown."""

    username: str
    password: str = field(repr=False)

    @property
    def basic(self) -> str:
        """The value of a header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


@dataclass(frozen=True, slots=True)
class ImagesSettings:
    """How images may be named: `digests` is "required", or "resolved" at preview where there is a tag."""

    digests: Literal["required", "resolved"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a stack declares. `secret` names the top-level keys that hold an encrypted value."""

    hosts: Mapping[str, HostSettings]
    images: ImagesSettings
    registries: Mapping[str, Credentials]
    secrets: Mapping[str, str] = field(repr=False)
    stores: StoresSettings
    backups: BackupSettings
    apps: Mapping[str, AppSettings]
    acme: AcmeSettings | None
    sites: Mapping[str, SiteSettings]
    tunnels: Mapping[str, TunnelSettings]
    policy: PolicySettings
    secret: frozenset[str]

    def host_of(self, app: str) -> str:
        """Give the alias of the host that runs an app."""
        return self.apps[app].host or next(iter(self.hosts))

    def apps_on(self, host: str) -> dict[str, AppSettings]:
        """Give the apps of one host, by name."""
        return {name: app for name, app in self.apps.items() if self.host_of(name) == host}

    def named_images(self) -> dict[str, str]:
        """Give every image, as it is named, by where that stands in the settings."""
        apps = {f"portcullis:apps.{name}.image": app.image for name, app in self.apps.items()}
        stores = {"redis": self.stores.redis, "mongo": self.stores.mongo}
        return apps | {
            f"portcullis:stores.{name}.image": store.image for name, store in stores.items() if store
        }

    def with_images(self, images: Mapping[str, str]) -> Settings:
        """Give the same settings with images in the place of those that `named_images` gave."""
        apps = {
            name: replace(app, image=images[f"portcullis:apps.{name}.image"])
            for name, app in self.apps.items()
        }
        redis, mongo = self.stores.redis, self.stores.mongo
        stores = StoresSettings(
            redis and replace(redis, image=images["portcullis:stores.redis.image"]),
            mongo and replace(mongo, image=images["portcullis:stores.mongo.image"]),
        )
        return replace(self, apps=apps, stores=stores)

    def stores_on(self, host: str) -> StoresSettings:
        """Give the stores that one host runs."""
        redis, mongo, only = self.stores.redis, self.stores.mongo, next(iter(self.hosts))
        return StoresSettings(
            redis if redis and (redis.host or only) == host else None,
            mongo if mongo and (mongo.host or only) == host else None,
        )

    def tunnels_on(self, host: str) -> dict[str, TunnelSettings]:
        """Give who tunnels to stores of one host, each with those only."""
        here = self.stores_on(host)
        there = {name for name in ("redis", "mongo") if getattr(here, name) is not None}
        reached = {
            person: replace(tunnel, to=tuple(store for store in tunnel.to if store in there))
            for person, tunnel in self.tunnels.items()
        }
        return {person: tunnel for person, tunnel in reached.items() if tunnel.to}

    def sites_on(self, host: str) -> dict[str, SiteSettings]:
        """Give the sites that one host serves, by host name."""
        return {name: site for name, site in self.sites.items() if self._server(site) == host}

    def _server(self, site: SiteSettings) -> str:
        app = next(iter(site.apps.values()), None)
        return site.host or (next(iter(self.hosts)) if app is None else self.host_of(app))
