"""Manage one file on one host, with a host resource and nothing else of Portcullis."""

import pulumi

from portcullis.host import Connection, write_ssh_config
from portcullis.resources import File

config = pulumi.Config()
host = Connection(
    address=config.require("address"),
    user=config.get("user") or "root",
    host_key=config.require("hostKey"),
    identity_file=config.get("identityFile"),
)
write_ssh_config({"web1": host})

motd = File("motd", host="web1", path="/etc/motd", content=config.require("message") + "\n", adopt=True)
pulumi.export("path", motd.path)
