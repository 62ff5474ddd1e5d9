"""Derives the arguments of each part of a host from the arguments of the whole host.

The functions do no I/O.
"""

from __future__ import annotations

from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, cast

from portcullis.components.containers.apps import bridge
from portcullis.components.fail2ban.args import ProxyJailsArgs
from portcullis.components.nginx import render as nginx
from portcullis.components.users.args import UsersArgs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from portcullis.components.containers.args import AppArgs
    from portcullis.components.host.args import HardenedHostArgs, HostArgs, StoreMap
    from portcullis.components.mongodb.args import MongoDBArgs
    from portcullis.components.postgres.args import PostgreSQLArgs
    from portcullis.components.redis.args import RedisArgs

NGINX = ("/etc/nginx",)
FAIL2BAN = ("/etc/fail2ban",)
WITH_SHARED_NETWORK = ("redis", "mongo")
"""The stores that have a second network. Newer stores have none."""
SSHD = ("/etc/ssh/sshd_config", "/etc/ssh/sshd_config.d")


def accounts(args: HostArgs) -> UsersArgs:
    """Return the users of a host. The deploying user joins the group `docker`, to use Docker's socket."""
    deploys = args.user in args.users and args.user != "root"
    return UsersArgs(users=args.users, login=args.user, groups={args.user: ("docker",)} if deploys else {})


def reached(args: HostArgs) -> list[str]:
    """Return the addresses that no container network may contain."""
    return [args.address, *([args.jump.address] if args.jump else []), *args.fail2ban.ignore]


def egress(args: HardenedHostArgs) -> dict[str, Sequence[str]]:
    """Return the destinations that containers may reach, by interface. Stores may reach none."""
    apps = {bridge(name): app.egress for name, app in args.apps.items() if app.egress is not None}
    return {**{bridge(store): () for store in args.stores}, **apps}


def overcommit(args: HostArgs) -> bool:
    """Return whether the settings let Portcullis set vm.overcommit_memory, which Redis needs."""
    return not args.kernel.only or "vm.overcommit_memory".startswith(tuple(args.kernel.only))


def by_name(stores: StoreMap) -> Mapping[str, RedisArgs | MongoDBArgs | PostgreSQLArgs]:
    """Return the settings of each store, by its name."""
    return cast("Mapping[str, RedisArgs | MongoDBArgs | PostgreSQLArgs]", stores)


def store_ports(stores: StoreMap) -> dict[str, int]:
    """Return the port of each store on docker0's address."""
    return {name: store.host_port for name, store in by_name(stores).items()}


def host_ports(args: HardenedHostArgs) -> dict[str, int]:
    """Return the fixed ports on docker0's address, by container."""
    apps = {name: app.host_port for name, app in args.apps.items() if app.host_port is not None}
    return apps | store_ports(args.stores)


def served(args: HardenedHostArgs) -> list[str]:
    """Return the apps that sites send requests to."""
    return sorted({app for site in args.sites.values() for app in site.apps.values()})


def released(args: HardenedHostArgs) -> list[str]:
    """Return the apps whose releases each get their own port: served apps without a fixed `host_port`."""
    return [app for app in served(args) if args.apps[app].host_port is None]


def used(args: HardenedHostArgs) -> set[str]:
    """Return the apps that other apps use."""
    return {use for app in args.apps.values() for use in app.uses if use in args.apps}


def servers_first(apps: Mapping[str, AppArgs]) -> list[str]:
    """Return the apps in an order in which each comes after those that it uses."""
    uses = {name: [use for use in app.uses if use in apps] for name, app in apps.items()}
    return [*TopologicalSorter(uses).static_order()]


def docker_networks(args: HardenedHostArgs) -> list[str]:
    """Return the Docker networks of apps and stores. Each holds one container."""
    # No app is in the shared network of a store any more. It stays, because its end would replace the store.
    shared = (f"{store}-shared" for store in args.stores if store in WITH_SHARED_NETWORK)
    return [*args.apps, *args.stores, *shared]


def network_members(args: HardenedHostArgs) -> dict[str, Sequence[str]]:
    """Return the container in each Docker network. The links of a host have records of their own."""
    return {name: [name.removesuffix("-shared")] for name in docker_networks(args)}


def volumes(args: HardenedHostArgs) -> list[str]:
    """Return the Docker volumes with the data of apps and stores."""
    redis = args.stores.get("redis")
    kept = [
        f"{store}-data" for store in args.stores if store != "redis" or (redis and redis.persistence == "aof")
    ]
    return sorted([*kept, *(f"{name}-{volume}" for name, app in args.apps.items() for volume in app.volumes)])


def accepted(args: HostArgs, *places: str) -> dict[str, str]:
    """Return the accepted files in a part's own folders, by path, with the reasons.

    The part itself reports undeclared files in these folders, and the inventory does not.
    """
    files = {
        key.partition(" ")[2]: reason
        for key, reason in args.inventory.accept.items()
        if key.startswith("file /")
    }
    below = tuple(f"{place}/" for place in places)
    return {path: reason for path, reason in files.items() if path in places or path.startswith(below)}


def accepted_elsewhere(args: HardenedHostArgs) -> dict[str, str]:
    """Return everything accepted on a host outside the folders that its parts report on."""
    mine = accepted(args, *(NGINX if args.sites else ()), *FAIL2BAN, *SSHD)
    return {key: reason for key, reason in args.inventory.accept.items() if key.partition(" ")[2] not in mine}


def proxy_jails(args: HardenedHostArgs) -> ProxyJailsArgs:
    """Return the settings of the jails that read nginx's logs."""
    return ProxyJailsArgs(
        error_logs=[nginx.error_log(name) for name in args.sites],
        auth=any(site.basic_auth for site in args.sites.values()),
        ignore=args.fail2ban.ignore,
        proxies=args.proxy.trusted_proxies,
        max_ban_time=args.fail2ban.max_ban_time,
    )
