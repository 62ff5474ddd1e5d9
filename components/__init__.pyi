from .backups.component import (
    Backup as Backup,
)
from .backups.component import (
    BackupArgs as BackupArgs,
)
from .backups.component import (
    BackupSource as BackupSource,
)
from .backups.component import (
    ResticArgs as ResticArgs,
)
from .backups.resource import (
    BackupStatus as BackupStatus,
)
from .certificates.component.certbot import (
    AcmeArgs as AcmeArgs,
)
from .certificates.component.certbot import (
    Certbot as Certbot,
)
from .certificates.component.certbot import (
    CertbotArgs as CertbotArgs,
)
from .certificates.component.certbot import (
    DnsArgs as DnsArgs,
)
from .certificates.component.internal_ca import (
    InternalCa as InternalCa,
)
from .certificates.component.internal_ca import (
    InternalCaArgs as InternalCaArgs,
)
from .certificates.resource import (
    Certificate as Certificate,
)
from .containers.args import (
    Jobs as Jobs,
)
from .containers.component import (
    PrivateContainer as PrivateContainer,
)
from .containers.component import (
    PrivateContainerArgs as PrivateContainerArgs,
)
from .containers.resource.container_state import (
    ContainerState as ContainerState,
)
from .containers.resource.cpu import (
    Cpu as Cpu,
)
from .containers.resource.drain import (
    Drain as Drain,
)
from .containers.resource.pulled_image import (
    PulledImage as PulledImage,
)
from .containers.resource.release import (
    Release as Release,
)
from .docker.component import (
    DockerEngine as DockerEngine,
)
from .docker.component import (
    DockerEngineArgs as DockerEngineArgs,
)
from .exposure.component import (
    HostExposure as HostExposure,
)
from .exposure.component import (
    HostExposureArgs as HostExposureArgs,
)
from .exposure.resource import (
    Exposure as Exposure,
)
from .fail2ban.component.fail2ban import (
    Fail2ban as Fail2ban,
)
from .fail2ban.component.fail2ban import (
    Fail2banArgs as Fail2banArgs,
)
from .fail2ban.component.proxy_jails import (
    ProxyJails as ProxyJails,
)
from .fail2ban.component.proxy_jails import (
    ProxyJailsArgs as ProxyJailsArgs,
)
from .fail2ban.resource import (
    Fail2banJail as Fail2banJail,
)
from .firewall.component import (
    WEB as WEB,
)
from .firewall.component import (
    Firewall as Firewall,
)
from .firewall.component import (
    FirewallArgs as FirewallArgs,
)
from .firewall.resource.forward_filter import (
    ForwardFilter as ForwardFilter,
)
from .firewall.resource.ufw_policy import (
    UfwPolicy as UfwPolicy,
)
from .host.component import (
    HardenedHost as HardenedHost,
)
from .host.component import (
    HardenedHostArgs as HardenedHostArgs,
)
from .host.component import (
    addresses as addresses,
)
from .host.connections import (
    PreviewLogin as PreviewLogin,
)
from .host.connections import (
    connections as connections,
)
from .host.outside_probe import (
    OutsideProbe as OutsideProbe,
)
from .host.outside_probe import (
    OutsideProbeArgs as OutsideProbeArgs,
)
from .host.outside_probe import (
    changes_of as changes_of,
)
from .kernel.component import (
    KernelSettings as KernelSettings,
)
from .kernel.component import (
    KernelSettingsArgs as KernelSettingsArgs,
)
from .mongodb.component import (
    MongoDatabase as MongoDatabase,
)
from .mongodb.component import (
    MongoDB as MongoDB,
)
from .mongodb.component import (
    MongoDBArgs as MongoDBArgs,
)
from .mongodb.resource.mongo_root import (
    MongoRoot as MongoRoot,
)
from .mongodb.resource.mongo_user import (
    MongoUser as MongoUser,
)
from .nginx.args import (
    OwnKeyPair as OwnKeyPair,
)
from .nginx.args import (
    ProxiedApp as ProxiedApp,
)
from .nginx.args import (
    ProxiedSite as ProxiedSite,
)
from .nginx.component import (
    ReverseProxy as ReverseProxy,
)
from .nginx.component import (
    ReverseProxyArgs as ReverseProxyArgs,
)
from .nginx.resource import (
    ServedSites as ServedSites,
)
from .nginx.resource import (
    SiteProbe as SiteProbe,
)
from .previews.component import (
    PreviewAccess as PreviewAccess,
)
from .previews.component import (
    PreviewAccessArgs as PreviewAccessArgs,
)
from .previews.component import (
    PreviewKey as PreviewKey,
)
from .redis.component import (
    Redis as Redis,
)
from .redis.component import (
    RedisArgs as RedisArgs,
)
from .redis.resource import (
    RedisUser as RedisUser,
)
from .secrets.component import (
    SecretFiles as SecretFiles,
)
from .secrets.component import (
    SecretFilesArgs as SecretFilesArgs,
)
from .ssh.component import (
    SshAccess as SshAccess,
)
from .ssh.component import (
    SshAccessArgs as SshAccessArgs,
)
from .ssh.resource import (
    SshServer as SshServer,
)
from .stores.store_use import (
    StoreUse as StoreUse,
)
from .tunnels.component import (
    SshTunnel as SshTunnel,
)
from .tunnels.component import (
    SshTunnelArgs as SshTunnelArgs,
)
from .tunnels.component import (
    StoreLogin as StoreLogin,
)
from .tunnels.component import (
    TunnelTarget as TunnelTarget,
)
from .tunnels.component import (
    export_tunnels as export_tunnels,
)
from .updates.component import (
    SystemUpdates as SystemUpdates,
)
from .updates.component import (
    SystemUpdatesArgs as SystemUpdatesArgs,
)
from .upkeep.component import (
    Upkeep as Upkeep,
)
from .upkeep.component import (
    UpkeepArgs as UpkeepArgs,
)
from .users.component.login_policy import (
    LoginPolicy as LoginPolicy,
)
from .users.component.login_policy import (
    LoginPolicyArgs as LoginPolicyArgs,
)
from .users.component.users import (
    Users as Users,
)
from .users.component.users import (
    UsersArgs as UsersArgs,
)
from .users.resource.administrators import (
    Administrators as Administrators,
)
from .users.resource.user import (
    User as User,
)
