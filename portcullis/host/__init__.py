"""What every host resource stands on: connections, the session with a host, and the resource's life.

Usable without the rest of Portcullis: write_ssh_config(), then resources. See examples/one-file.
"""

from portcullis.host.connections import Connection, add_connections, ssh_config_path, write_ssh_config
from portcullis.host.errors import HostError
from portcullis.host.host import Host

__all__ = ["Connection", "Host", "HostError", "add_connections", "ssh_config_path", "write_ssh_config"]
