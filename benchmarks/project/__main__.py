"""Declare the resources of the benchmark's graph, as a program of a user does."""

from __future__ import annotations

import json
from pathlib import Path

import pulumi

from portcullis.components import HostInventory, InventoryArgs, ReverseProxy, ReverseProxyArgs, SiteArgs
from portcullis.host import Connection, Host, write_ssh_config
from portcullis.resources import File, Packages, Service

HOST = "bench1"

config = pulumi.Config()
connection = Connection(
    address=config.require("address"),
    port=config.require_int("port"),
    user="root",
    host_key=config.require("hostKey"),
    identity_file=config.require("identityFile"),
)
write_ssh_config({HOST: connection})
graph = json.loads(Path(config.require("graph")).read_text())

installed = [Packages("packages", host=HOST, names=graph["packages"])] if graph["packages"] else []
after = pulumi.ResourceOptions(depends_on=installed)
files = {
    file["path"]: File(
        file["path"], host=HOST, path=file["path"], content=file["content"], mode=file["mode"], opts=after
    )
    for file in graph["files"]
}
if graph["sites"]:
    # Each site is one file. A certificate would be one more resource.
    there = SiteArgs(redirect="https://www.example.com", tls="none")
    sites = {f"customer-{number}.shops.example.com": there for number in range(graph["sites"])}
    ReverseProxy("nginx", ReverseProxyArgs(), host=Host(HOST), sites=sites)
services = [
    Service(
        service["unit"],
        host=HOST,
        unit=service["unit"],
        reads=[files[path] for path in service["reads"]],
        opts=after,
    )
    for service in graph["services"]
]
if graph["inventory"]:
    last = pulumi.ResourceOptions(depends_on=[*installed, *files.values(), *services])
    HostInventory("inventory", InventoryArgs(), host=Host(HOST), opts=last)
