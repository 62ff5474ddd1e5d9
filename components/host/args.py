"""What a host is and what it carries."""

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
    """The host that a connection goes through. It is not managed."""

    what: ClassVar[str] = "a jump host"

    address: Address
    """IPv4 or IPv6 address, or a host name."""
    user: Login = "root"
    """Who logs in; root, or a user with sudo that asks no password."""
    port: Port = 22
    """The port of its SSH server."""
    host_key: HostKey | None = None
    """Its public host key, pinned: `ssh-ed25519 AAAA…`; required without `trustHostKey`."""
    trust_host_key: bool = False
    """Accept whatever key answers first; asked for here, never assumed."""
    identity_file: LocalFile | None = None
    """The private key to log in with; without it ssh's own keys and the agent serve."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Ask for a key to pin."""
        _check_pin(written)


class BootstrapArgs(Section):
    """The login that a bare host offers before the declared one exists."""

    what: ClassVar[str] = "a first login"

    user: Login = "root"
    """The user that the bare host offers."""
    port: Port = 22
    """The port that its SSH server starts with."""


class HostArgs(Section):
    """One host: how it is reached, who gets in, and what keeps it so."""

    what: ClassVar[str] = "a host"

    address: Address
    """IPv4 or IPv6 address, or a host name."""
    os: Os
    """Its operating system: debian-12, debian-13, ubuntu-22.04 or ubuntu-24.04."""
    user: Login = "root"
    """Who logs in; root, or a user with sudo that asks no password."""
    port: Port = 22
    """The port of its SSH server."""
    host_key: HostKey | None = None
    """Its public host key, pinned: `ssh-ed25519 AAAA…`; required without `trustHostKey`."""
    trust_host_key: bool = False
    """Accept whatever key answers first; asked for here, never assumed."""
    identity_file: LocalFile | None = None
    """The private key to log in with; without it ssh's own keys and the agent serve."""
    address_v6: AddressV6 | None = None
    """Its IPv6 address, where `address` is an IPv4 one: `make scan` asks it, too."""
    jump: JumpArgs | None = None
    """The host that the connection goes through."""
    bootstrap: BootstrapArgs | None = None
    """The login to use once, while the declared one does not exist yet."""
    adopt: bool = False
    """Let the first run replace files and services that it finds different from what is declared. Without it
    the run stops and shows them."""
    probe: bool = False
    """At the end of `up`, ask all its ports from the machine that deploys, and fail if one is open that is
    not declared, or closed that is; for machines that reach its public addresses."""
    ssh: SshArgs = Field(default_factory=SshArgs)
    """Its SSH server."""
    users: MapOf[Login, UserArgs] = Field(default_factory=dict)
    """The people and machines that log in, by user name. Root has no key unless it stands here or deploys."""
    preview: PreviewArgs | None = None
    """Lets the stack's preview key look at the host, and neither read a secret nor change anything: `{}`."""
    firewall: FirewallArgs = Field(default_factory=FirewallArgs)
    """What is open beside SSH, 80 and 443."""
    fail2ban: Fail2banArgs = Field(default_factory=Fail2banArgs)
    """Who is banned, and for how long."""
    updates: UpdatesArgs = Field(default_factory=UpdatesArgs)
    """Unattended security upgrades."""
    kernel: KernelArgs = Field(default_factory=KernelArgs)
    """Kernel settings."""
    upkeep: UpkeepArgs = Field(default_factory=UpkeepArgs)
    """Logs, images, swap, and who is told when a unit fails."""
    docker_engine: DockerEngineArgs = Field(default_factory=DockerEngineArgs)
    """What is particular about its Docker engine."""
    proxy: ReverseProxyArgs = Field(default_factory=ReverseProxyArgs)
    """What holds for all its sites."""
    exposure: ExposureArgs = Field(default_factory=ExposureArgs)
    """What it may expose beside what is declared."""
    inventory: InventoryArgs = Field(default_factory=InventoryArgs)
    """What may be on it beside what is declared."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse what would keep out whoever deploys, and addresses that containers would take."""
        _check_pin(written)
        _check_reached(written)
        _check_login(written)


class StoreMap(TypedDict, total=False):
    """The stores of a host."""

    redis: RedisArgs
    """A Redis: `{}` is enough."""
    mongo: MongoDBArgs
    """A MongoDB with its databases: `{databases: {shop: {}}}`."""


class HardenedHostArgs(HostArgs):
    """A whole host: the host itself, and the stores, apps and sites that it carries."""

    what: ClassVar[str] = "a hardened host"

    stores: Annotated[StoreMap, SectionMap("stores")] = Field(default_factory=StoreMap)
    """The stores that it runs: `redis`, `mongo`."""
    backups: BackupsArgs = Field(default_factory=BackupsArgs)
    """How the stores are backed up."""
    apps: MapOf[AppName, AppArgs] = Field(default_factory=dict)
    """The apps that it runs, by name."""
    acme: AcmeArgs | None = None
    """Who issues the certificates of sites; without it Let's Encrypt does, for an account without e-mail."""
    sites: MapOf[ServerName, SiteArgs] = Field(default_factory=dict)
    """What it serves, by host name."""
    tunnels: MapOf[Person, TunnelArgs] = Field(default_factory=dict)
    """Who reaches which stores from home, by person."""
    secrets: MapOf[SecretName, SecretValue] = Field(default_factory=dict, repr=False)
    """What apps and sites need and nobody may read, by name."""
    registries: MapOf[RegistryName, RegistryArgs] = Field(default_factory=dict, repr=False)
    """Logins at image registries, by the registry's name as it stands before images."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse names that nothing has, and ports that two things want."""
        super().check(written)
        crosschecks.of_host(written)


def _check_pin(written: Written) -> None:
    at, trust = written.at, written.at.spell("trust_host_key")
    pinned, trusting = "host_key" in written, written.get("trust_host_key") is True
    if not pinned and not trusting:
        at.field("host_key").report(
            "is missing",
            "write the host's public key (`ssh-keyscan -t ed25519 ADDRESS`, compared with your "
            f"provider's console), or {trust}: true to accept whatever answers the first time",
        )
    if pinned and trusting:
        at.field("trust_host_key").report(
            f"contradicts {at.spell('host_key')}", f"a pinned key is all it takes: drop {trust}"
        )


def _check_reached(written: Written) -> None:
    """Check that no network of containers holds an address that a host has, or is reached from."""
    read = declared_networks(written.section("docker_engine"))
    if read is None:  # what is wrong in itself has been reported already
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
    except ValueError:  # docker0's network is too wide, which has been reported too
        return
    for taken, text in found:
        is_own = taken == networks.docker0(bip)
        where = f"{taken} for containers" if pools or is_own else f"{taken}, the default,"
        engine.field("bip" if is_own else "address_pools").report(
            f"{where} holds {text}, {owners[text]}: it could not be reached any more",
            f"take others: `{{bip: 192.168.240.1/24, {engine.spell('address_pools')}: "
            "[{base: 192.168.224.0/20}]}`",
        )


def _check_login(written: Written) -> None:
    at, user, users = written.at, str(written.get("user", "root")), written.entries("users")
    if preview.ACCOUNT in (user, *users):
        at.field("users").report(
            f"names {preview.ACCOUNT}, which is the preview key's own account", "write preview: {} instead"
        )
    if user == "root" and written.section("ssh").get("root_login") in ("no", False):
        at.field("ssh").field("root_login").refuse(
            "no", "keeps out the user that logs in", "name another user, with keys and sudo, under users"
        )
    if user not in users and user != "root" and valid(Login, user):
        # Its keys and its place in the group docker are the host's state like anybody's.
        at.field("users").report(
            f"declares no {user}, who logs in",
            f"write {user}: {{keys: {{laptop: ssh-ed25519 AAAA…}}, sudo: true}}",
        )
    check_root(users)
    if user not in users:
        return
    mine = users[user]
    if not mine.get("keys"):
        mine.at.field("keys").report("names no key, and this user logs in", "name the one you log in with")
    if user != "root" and mine.get("sudo") is not True:
        mine.at.field("sudo").report("is missing, and this user logs in to work as root", "write sudo: true")
