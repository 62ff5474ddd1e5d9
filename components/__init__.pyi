from .backups.args import (
    BackupsArgs as BackupsArgs,
)
from .backups.args import (
    BackupSource as BackupSource,
)
from .backups.args import (
    ResticArgs as ResticArgs,
)
from .backups.component import (
    Backup as Backup,
)
from .backups.resource import (
    BackupStatus as BackupStatus,
)
from .certificates.args import (
    AcmeArgs as AcmeArgs,
)
from .certificates.args import (
    CertificateArgs as CertificateArgs,
)
from .certificates.args import (
    DnsArgs as DnsArgs,
)
from .certificates.args import (
    InternalCaArgs as InternalCaArgs,
)
from .certificates.component.certbot import (
    Certbot as Certbot,
)
from .certificates.component.internal_ca import (
    InternalCa as InternalCa,
)
from .certificates.resource import (
    Certificate as Certificate,
)
from .containers.args import (
    AppArgs as AppArgs,
)
from .containers.args import (
    JobsArgs as JobsArgs,
)
from .containers.args import (
    PrivateContainerArgs as PrivateContainerArgs,
)
from .containers.args import (
    RegistryArgs as RegistryArgs,
)
from .containers.component import (
    PrivateContainer as PrivateContainer,
)
from .containers.resource.container_state import (
    ContainerState as ContainerState,
)
from .containers.resource.link import (
    Link as Link,
)
from .containers.resource.pulled_image import (
    PulledImage as PulledImage,
)
from .containers.resource.release import (
    Release as Release,
)
from .docker.args import (
    DockerEngineArgs as DockerEngineArgs,
)
from .docker.args import (
    PoolArgs as PoolArgs,
)
from .docker.component import (
    DockerEngine as DockerEngine,
)
from .docker.component import (
    ExistingDockerEngine as ExistingDockerEngine,
)
from .docker.resource import (
    EngineVersion as EngineVersion,
)
from .exposure.args import (
    ExposureArgs as ExposureArgs,
)
from .exposure.component import (
    HostExposure as HostExposure,
)
from .exposure.resource import (
    Exposure as Exposure,
)
from .fail2ban.args import (
    Fail2banArgs as Fail2banArgs,
)
from .fail2ban.args import (
    ProxyJailsArgs as ProxyJailsArgs,
)
from .fail2ban.component import (
    Fail2ban as Fail2ban,
)
from .fail2ban.component import (
    ProxyJails as ProxyJails,
)
from .fail2ban.resource import (
    Fail2banJail as Fail2banJail,
)
from .firewall.args import (
    FirewallArgs as FirewallArgs,
)
from .firewall.args import (
    RuleArgs as RuleArgs,
)
from .firewall.component import (
    Firewall as Firewall,
)
from .firewall.resource.forward_filter import (
    ForwardFilter as ForwardFilter,
)
from .firewall.resource.ufw_policy import (
    UfwPolicy as UfwPolicy,
)
from .host.args import (
    BootstrapArgs as BootstrapArgs,
)
from .host.args import (
    HardenedHostArgs as HardenedHostArgs,
)
from .host.args import (
    HostArgs as HostArgs,
)
from .host.args import (
    JumpArgs as JumpArgs,
)
from .host.component import (
    HardenedHost as HardenedHost,
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
    changes_of as changes_of,
)
from .inventory.args import (
    InventoryArgs as InventoryArgs,
)
from .inventory.component import (
    HostInventory as HostInventory,
)
from .inventory.resource import (
    Inventory as Inventory,
)
from .kernel.args import (
    KernelArgs as KernelArgs,
)
from .kernel.component import (
    KernelSettings as KernelSettings,
)
from .mongodb.args import (
    DatabaseArgs as DatabaseArgs,
)
from .mongodb.args import (
    MongoDBArgs as MongoDBArgs,
)
from .mongodb.component import (
    MongoDB as MongoDB,
)
from .mongodb.resource.mongo_root import (
    MongoRoot as MongoRoot,
)
from .mongodb.resource.mongo_user import (
    MongoUser as MongoUser,
)
from .nginx.args import (
    CorsArgs as CorsArgs,
)
from .nginx.args import (
    HstsArgs as HstsArgs,
)
from .nginx.args import (
    LimitsArgs as LimitsArgs,
)
from .nginx.args import (
    MaintenanceArgs as MaintenanceArgs,
)
from .nginx.args import (
    ReverseProxyArgs as ReverseProxyArgs,
)
from .nginx.args import (
    SiteArgs as SiteArgs,
)
from .nginx.component import (
    ReverseProxy as ReverseProxy,
)
from .nginx.proxied import (
    ProxiedApp as ProxiedApp,
)
from .nginx.resource.drain import (
    Drain as Drain,
)
from .nginx.resource.served_sites import (
    ServedSites as ServedSites,
)
from .nginx.resource.served_sites import (
    SiteProbe as SiteProbe,
)
from .postgres.args import (
    PostgresDatabaseArgs as PostgresDatabaseArgs,
)
from .postgres.args import (
    PostgreSQLArgs as PostgreSQLArgs,
)
from .postgres.component import (
    PostgreSQL as PostgreSQL,
)
from .previews.args import (
    PreviewArgs as PreviewArgs,
)
from .previews.component import (
    PreviewAccess as PreviewAccess,
)
from .previews.component import (
    PreviewKey as PreviewKey,
)
from .redis.args import (
    RedisArgs as RedisArgs,
)
from .redis.component import (
    Redis as Redis,
)
from .redis.resource import (
    RedisUser as RedisUser,
)
from .secrets.component import (
    SecretFiles as SecretFiles,
)
from .ssh.args import (
    SshArgs as SshArgs,
)
from .ssh.component import (
    SshAccess as SshAccess,
)
from .ssh.resource import (
    SshServer as SshServer,
)
from .stores.resource.store_server import (
    StoreServer as StoreServer,
)
from .stores.resource.store_user import (
    StoreUser as StoreUser,
)
from .stores.store_use import (
    StoreUse as StoreUse,
)
from .tunnels.args import (
    TunnelArgs as TunnelArgs,
)
from .tunnels.component import (
    SshTunnel as SshTunnel,
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
from .tunnels.component import (
    tunnel_accounts as tunnel_accounts,
)
from .updates.args import (
    UpdatesArgs as UpdatesArgs,
)
from .updates.component import (
    SystemUpdates as SystemUpdates,
)
from .upkeep.args import (
    UpkeepArgs as UpkeepArgs,
)
from .upkeep.component import (
    Upkeep as Upkeep,
)
from .users.args import (
    LoginPolicyArgs as LoginPolicyArgs,
)
from .users.args import (
    UserArgs as UserArgs,
)
from .users.args import (
    UsersArgs as UsersArgs,
)
from .users.component.login_policy import (
    LoginPolicy as LoginPolicy,
)
from .users.component.users import (
    Users as Users,
)
from .users.resource.administrators import (
    Administrators as Administrators,
)
from .users.resource.user import (
    User as User,
)
