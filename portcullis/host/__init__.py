"""The base of every host resource: connections, the session with a host, and the provider's operations.

This package works without the rest of Portcullis: call write_ssh_config(), then declare resources.
The folder examples/one-file has an example.
"""

from portcullis.host.connections import Connection, add_connections, ssh_config_path, write_ssh_config
from portcullis.host.errors import HostError
from portcullis.host.host import Host

__all__ = ["Connection", "Host", "HostError", "add_connections", "ssh_config_path", "write_ssh_config"]
