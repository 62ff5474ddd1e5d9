"""The components that a stack is composed of.

Each is a Pulumi component resource that takes a name and frozen arguments, validated where they are made.
None of them does I/O: what they declare is done by the providers.
"""

from components.backup import Backup, BackupArgs, BackupSource, ResticArgs
from components.certbot import AcmeArgs, Certbot, CertbotArgs, DnsArgs
from components.container_args import Jobs
from components.docker_engine import DockerEngine, DockerEngineArgs
from components.exposure import HostExposure, HostExposureArgs
from components.fail2ban import Fail2ban, Fail2banArgs
from components.firewall import WEB, Firewall, FirewallArgs
from components.hardened_host import HardenedHost, HardenedHostArgs, addresses
from components.internal_ca import InternalCa, InternalCaArgs
from components.kernel_settings import KernelSettings, KernelSettingsArgs
from components.login_policy import LoginPolicy, LoginPolicyArgs
from components.mongodb import MongoDatabase, MongoDB, MongoDBArgs
from components.outside_probe import OutsideProbe, OutsideProbeArgs, changes_of
from components.preview_access import PreviewAccess, PreviewAccessArgs, PreviewKey
from components.private_container import PrivateContainer, PrivateContainerArgs
from components.proxied_site import OwnKeyPair, ProxiedApp, ProxiedSite
from components.proxy_jails import ProxyJails, ProxyJailsArgs
from components.redis import Redis, RedisArgs
from components.reverse_proxy import ReverseProxy, ReverseProxyArgs
from components.secret_files import SecretFiles, SecretFilesArgs
from components.ssh import PreviewLogin, connections
from components.ssh_access import SshAccess, SshAccessArgs
from components.ssh_tunnel import SshTunnel, SshTunnelArgs, StoreLogin, TunnelTarget, export_tunnels
from components.store_use import StoreUse
from components.system_updates import SystemUpdates, SystemUpdatesArgs
from components.upkeep import Upkeep, UpkeepArgs
from components.users import Users, UsersArgs

__all__ = [
    "WEB",
    "AcmeArgs",
    "Backup",
    "BackupArgs",
    "BackupSource",
    "Certbot",
    "CertbotArgs",
    "DnsArgs",
    "DockerEngine",
    "DockerEngineArgs",
    "Fail2ban",
    "Fail2banArgs",
    "Firewall",
    "FirewallArgs",
    "HardenedHost",
    "HardenedHostArgs",
    "HostExposure",
    "HostExposureArgs",
    "InternalCa",
    "InternalCaArgs",
    "Jobs",
    "KernelSettings",
    "KernelSettingsArgs",
    "LoginPolicy",
    "LoginPolicyArgs",
    "MongoDB",
    "MongoDBArgs",
    "MongoDatabase",
    "OutsideProbe",
    "OutsideProbeArgs",
    "OwnKeyPair",
    "PreviewAccess",
    "PreviewAccessArgs",
    "PreviewKey",
    "PreviewLogin",
    "PrivateContainer",
    "PrivateContainerArgs",
    "ProxiedApp",
    "ProxiedSite",
    "ProxyJails",
    "ProxyJailsArgs",
    "Redis",
    "RedisArgs",
    "ResticArgs",
    "ReverseProxy",
    "ReverseProxyArgs",
    "SecretFiles",
    "SecretFilesArgs",
    "SshAccess",
    "SshAccessArgs",
    "SshTunnel",
    "SshTunnelArgs",
    "StoreLogin",
    "StoreUse",
    "SystemUpdates",
    "SystemUpdatesArgs",
    "TunnelTarget",
    "Upkeep",
    "UpkeepArgs",
    "Users",
    "UsersArgs",
    "addresses",
    "changes_of",
    "connections",
    "export_tunnels",
]
