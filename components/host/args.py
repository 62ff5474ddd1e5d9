"""The arguments of a host, of its apps, stores and sites, and of its parts."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field
from typing_extensions import TypedDict

from portcullis.components.backups.args import BackupsArgs
from portcullis.components.certificates.args import AcmeArgs
from portcullis.components.containers.args import AppArgs, RegistryArgs, RegistryName
from portcullis.components.docker import networks
from portcullis.components.docker.args import DockerEngineArgs, declared_networks
from portcullis.components.exposure.args import ExposureArgs
from portcullis.components.fail2ban.args import Fail2banArgs
from portcullis.components.firewall.args import FirewallArgs
from portcullis.components.host import crosschecks
from portcullis.components.inventory.args import InventoryArgs
from portcullis.components.kernel.args import KernelArgs
from portcullis.components.mongodb.args import MongoDBArgs
from portcullis.components.nginx.args import ReverseProxyArgs, SiteArgs
from portcullis.components.postgres.args import PostgreSQLArgs
from portcullis.components.previews import render as preview
from portcullis.components.previews.args import PreviewArgs
from portcullis.components.redis.args import RedisArgs
from portcullis.components.ssh.args import SshArgs
from portcullis.components.tunnels.args import Person, TunnelArgs
from portcullis.components.updates.args import UpdatesArgs
from portcullis.components.upkeep.args import UpkeepArgs
from portcullis.components.users.args import UserArgs, check_root
from portcullis.config.forms import (
    Address,
    AddressV6,
    AppName,
    HostKey,
    LocalFile,
    Login,
    Os,
    Port,
    SecretName,
    SecretValue,
    ServerName,
)
from portcullis.config.section import Section, Written
from portcullis.config.value_types import MapOf, SectionMap, valid


class JumpArgs(Section):
    """A jump host, through which ssh connects to other hosts. Portcullis does not manage the jump host."""

    what: ClassVar[str] = "a jump host"

    address: Address
    """IPv4 or IPv6 address, or a host name."""
    user: Login = "root"
    """The user that logs in: root, or a user with sudo without a password."""
    port: Port = 22
    """The port of its SSH server."""
    host_key: HostKey | None = None
    """Its pinned public host key: `ssh-ed25519 AAAA…`. Required unless `trustHostKey` is true."""
    trust_host_key: bool = False
    """Trust the key that the host shows on the first connection."""
    identity_file: LocalFile | None = None
    """The private key to log in with. By default ssh uses its own keys and the ssh-agent."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Require either a pinned host key or `trustHostKey`."""
        _check_pin(written)


class BootstrapArgs(Section):
    """The login of a new host, which `up` uses until the declared user can log in."""

    what: ClassVar[str] = "a first login"

    user: Login = "root"
    """The user that the bare host offers."""
    port: Port = 22
    """The port of the bare host's SSH server."""


class HostArgs(Section):
    """The settings of one host: its connection, its users, its hardening and its maintenance."""

    what: ClassVar[str] = "a host"

    address: Address
    """IPv4 or IPv6 address, or a host name."""
    os: Os
    """Its operating system: debian-12, debian-13, ubuntu-22.04 or ubuntu-24.04."""
    user: Login = "root"
    """The user that logs in: root, or a user with sudo without a password."""
    port: Port = 22
    """The port of its SSH server."""
    host_key: HostKey | None = None
    """Its pinned public host key: `ssh-ed25519 AAAA…`. Required unless `trustHostKey` is true."""
    trust_host_key: bool = False
    """Trust the key that the host shows on the first connection."""
    identity_file: LocalFile | None = None
    """The private key to log in with. By default ssh uses its own keys and the ssh-agent."""
    address_v6: AddressV6 | None = None
    """Its IPv6 address, if `address` is an IPv4 address. `make scan` then scans both."""
    jump: JumpArgs | None = None
    """A jump host that connections to this host go through."""
    bootstrap: BootstrapArgs | None = None
    """The login of the bare host, used until the declared login exists."""
    adopt: bool = False
    """Let the first deploy replace files and services that differ from what is declared. By default that
    deploy stops and lists them."""
    probe: bool = False
    """End `up` with a scan of all ports of this host. `up` fails if an undeclared port is open, or a declared
    port is closed. The deploying machine must reach the host's public addresses."""
    ssh: SshArgs = Field(default_factory=SshArgs)
    """Its SSH server."""
    users: MapOf[Login, UserArgs] = Field(default_factory=dict)
    """The people and machines that log in, by user name. Root has no key unless it is listed here or is the
    user that deploys."""
    preview: PreviewArgs | None = None
    """Let the stack's preview key read the state of this host: `{}`. The key reads no secret and changes
    nothing."""
    firewall: FirewallArgs = Field(default_factory=FirewallArgs)
    """The ports that are open in addition to SSH, 80 and 443."""
    fail2ban: Fail2banArgs = Field(default_factory=Fail2banArgs)
    """Which clients are banned, and for how long."""
    updates: UpdatesArgs = Field(default_factory=UpdatesArgs)
    """Unattended security upgrades."""
    kernel: KernelArgs = Field(default_factory=KernelArgs)
    """Kernel settings."""
    upkeep: UpkeepArgs = Field(default_factory=UpkeepArgs)
    """Logs, old images, swap, and the notification when a unit fails."""
    docker_engine: DockerEngineArgs = Field(default_factory=DockerEngineArgs)
    """Settings of its Docker engine."""
    proxy: ReverseProxyArgs = Field(default_factory=ReverseProxyArgs)
    """Settings that apply to all its sites."""
    exposure: ExposureArgs = Field(default_factory=ExposureArgs)
    """Undeclared listeners and rules that you accept on this host."""
    inventory: InventoryArgs = Field(default_factory=InventoryArgs)
    """Undeclared files, accounts, packages and so on that you accept on this host."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse settings that would lock out the deploying user or make addresses unreachable."""
        _check_pin(written)
        _check_reached(written)
        _check_login(written)


class StoreMap(TypedDict, total=False):
    """The stores of a host: a Redis server, and MongoDB and PostgreSQL with their databases."""

    redis: RedisArgs
    """A Redis: `{}` is enough."""
    mongo: MongoDBArgs
    """A MongoDB with its databases: `{databases: {shop: {}}}`."""
    postgres: PostgreSQLArgs
    """A PostgreSQL with its databases: `{databases: {shop: {}}}`."""


class HardenedHostArgs(HostArgs):
    """The settings of a whole host, with its stores, apps and sites."""

    what: ClassVar[str] = "a hardened host"

    stores: Annotated[StoreMap, SectionMap("stores")] = Field(default_factory=StoreMap)
    """The stores that it runs: `redis`, `mongo`, `postgres`."""
    backups: BackupsArgs = Field(default_factory=BackupsArgs)
    """How the stores are backed up."""
    apps: MapOf[AppName, AppArgs] = Field(default_factory=dict)
    """The apps that it runs, by name."""
    acme: AcmeArgs | None = None
    """The authority that issues the certificates of sites. The default is Let's Encrypt, with an account
    without e-mail."""
    sites: MapOf[ServerName, SiteArgs] = Field(default_factory=dict)
    """The sites that nginx serves, by host name."""
    tunnels: MapOf[Person, TunnelArgs] = Field(default_factory=dict)
    """The people who reach stores through an SSH tunnel, by name, with the stores of each."""
    secrets: MapOf[SecretName, SecretValue] = Field(default_factory=dict, repr=False)
    """The secrets that apps and sites need, by name."""
    registries: MapOf[RegistryName, RegistryArgs] = Field(default_factory=dict, repr=False)
    """Logins at image registries, by the registry's name as in the names of images."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse references to undeclared names, and ports that are used twice."""
        super().check(written)
        crosschecks.of_host(written)


def _check_pin(written: Written) -> None:
    at, trust = written.at, written.at.spell("trust_host_key")
    pinned, trusting = "host_key" in written, written.get("trust_host_key") is True
    if not pinned and not trusting:
        at.field("host_key").report(
            "is missing",
            "write the host's public key (`ssh-keyscan -t ed25519 ADDRESS`, compared with your "
            f"provider's console), or {trust}: true to trust the key that the first connection shows",
        )
    if pinned and trusting:
        at.field("trust_host_key").report(
            f"contradicts {at.spell('host_key')}", f"a pinned key is enough: remove {trust}"
        )


def _check_reached(written: Written) -> None:
    """Check that no container network contains the host's address, or an address it is reached from."""
    read = declared_networks(written.section("docker_engine"))
    if read is None:  # the fault in the networks themselves is already reported
        return
    bip, pools = read
    owners = {str(written.get("address")): "the address of this host"}
    if "jump" in written:
        owners.setdefault(str(written.section("jump").get("address")), "the address of its jump host")
    for network, _ in written.section("fail2ban").elements("ignore"):
        if not str(network).endswith("/0"):
            owners.setdefault(str(network), "which fail2ban.ignore names")
    engine = written.at.field("docker_engine")
    try:
        found = list(networks.swallowed(bip, pools, list(owners)))
    except ValueError:  # docker0's network is too wide, which is already reported
        return
    for taken, text in found:
        is_own = taken == networks.docker0(bip)
        where = f"{taken} for containers" if pools or is_own else f"{taken}, the default,"
        engine.field("bip" if is_own else "address_pools").report(
            f"{where} contains {text}, {owners[text]}: this address would become unreachable",
            f"choose other networks: `{{bip: 192.168.240.1/24, {engine.spell('address_pools')}: "
            "[{base: 192.168.224.0/20}]}`",
        )


def _check_login(written: Written) -> None:
    at, user, users = written.at, str(written.get("user", "root")), written.entries("users")
    if preview.ACCOUNT in (user, *users):
        at.field("users").report(
            f"names {preview.ACCOUNT}, which is the account of the preview key", "write preview: {} instead"
        )
    if user == "root" and written.section("ssh").get("root_login") in ("no", False):
        at.field("ssh").field("root_login").refuse(
            "no", "locks out the user that deploys", "name another user, with keys and sudo, under users"
        )
    if user not in users and user != "root" and valid(Login, user):
        # The settings declare keys and groups of every user, also of the deploying user.
        at.field("users").report(
            f"does not declare {user}, the user that deploys",
            f"write {user}: {{keys: {{laptop: ssh-ed25519 AAAA…}}, sudo: true}}",
        )
    check_root(users)
    if user not in users:
        return
    mine = users[user]
    if not mine.get("keys"):
        mine.at.field("keys").report("has no key, but this user deploys", "add the key with which you log in")
    if user != "root" and mine.get("sudo") is not True:
        mine.at.field("sudo").report("is missing, but this user deploys as root", "write sudo: true")
