"""Linux host state as Pulumi resources: they read back, so a preview shows what differs on the host.

Usable without the rest of Portcullis: write_ssh_config(), then resources. See examples/one-file.
"""

from .administrators import Administrators
from .backup_status import BackupStatus
from .certificate import Certificate
from .connections import Connection, ssh_config_path, write_ssh_config
from .container_state import ContainerState
from .cpu import Cpu
from .directory import Directory
from .drain import Drain
from .errors import HostError
from .exposure import Exposure
from .fail2ban_jail import Fail2banJail
from .file import File
from .forward_filter import ForwardFilter
from .mongo_root import MongoRoot
from .mongo_user import MongoUser
from .packages import Packages
from .pulled_image import PulledImage
from .redis_user import RedisUser
from .release import Release
from .served_sites import ServedSites, SiteProbe
from .service import Service
from .ssh_server import SshServer
from .sysctl import Sysctl
from .tree import Tree
from .ufw_policy import UfwPolicy
from .user import User

__all__ = [
    "Administrators",
    "BackupStatus",
    "Certificate",
    "Connection",
    "ContainerState",
    "Cpu",
    "Directory",
    "Drain",
    "Exposure",
    "Fail2banJail",
    "File",
    "ForwardFilter",
    "HostError",
    "MongoRoot",
    "MongoUser",
    "Packages",
    "PulledImage",
    "RedisUser",
    "Release",
    "ServedSites",
    "Service",
    "SiteProbe",
    "SshServer",
    "Sysctl",
    "Tree",
    "UfwPolicy",
    "User",
    "ssh_config_path",
    "write_ssh_config",
]
