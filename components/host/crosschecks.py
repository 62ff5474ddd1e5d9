"""Checks between sections of the settings: references to undeclared names, and ports that are used twice.

The same rules check a stack's file and a `HardenedHost` in a program. Every check reads the raw values, so a
fault inside one entry does not hide a fault between entries.
"""

from __future__ import annotations

from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

from portcullis.components.containers.args import SecretReference, Use
from portcullis.components.docker.args import capacity
from portcullis.components.host.app_names import check_names
from portcullis.components.host.wiring import WITH_SHARED_NETWORK
from portcullis.components.kernel.render import DEFAULTS, PORT_START
from portcullis.components.nginx import site_checks
from portcullis.components.previews.render import ACCOUNT
from portcullis.components.ssh.render.sshd_refused import shuts_out
from portcullis.components.stores.store_use import PARTS, login_file
from portcullis.components.tunnels.render.tunnel import PREFIX, account
from portcullis.config.faults import NAMESPACE, closest
from portcullis.config.value_types import valid, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from portcullis.config.faults import SettingPath
    from portcullis.config.section import Written

_STORE_FILES = ("redis_", "mongo_")
_STORE_PORTS = {"redis": 6379, "mongo": 27017, "postgres": 5432}
_WITH_DATABASES = ("mongo", "postgres")
_THIS = "this host"


@dataclass(frozen=True, slots=True)
class Declared:
    """All sections of a stack or of one host, as written.

    Attributes:
        hosts: the hosts by alias.
        root: the section that holds all other sections.
    """

    hosts: Mapping[str, Written]
    root: Written

    @property
    def apps(self) -> dict[str, Written]:
        """The apps by name."""
        return self.root.entries("apps")

    @property
    def stores(self) -> dict[str, Written]:
        """The stores by name."""
        return self.root.entries("stores")

    @property
    def sites(self) -> dict[str, Written]:
        """The sites by host name."""
        return self.root.entries("sites")

    @property
    def secrets(self) -> dict[str, Any]:
        """The values of the secrets, by name."""
        return {name: value for name, value, _ in self.root.items("secrets")}

    @property
    def only(self) -> str:
        """The default host, for entries that name none: the first one."""
        return next(iter(self.hosts), "")

    def host_of(self, site: Written) -> str | None:
        """Return the host that a site names, or else the host that one of its apps names."""
        apps = self.apps
        named = [self.named(site)]
        named += [self.named(apps[app]) for app, _ in site_checks.apps_of(site) if app in apps]
        return next((host for host in named if isinstance(host, str)), None)

    def server_of(self, site: Written) -> site_checks.Server | None:
        """Return the host that serves a site."""
        alias = self.host_of(site) or self.only
        host = self.hosts.get(alias)
        return site_checks.Server(alias, host.get("os"), host.section("proxy")) if host else None

    def named(self, entry: Written) -> Any:
        """Return the host that an app, a store or a site names. Entries of a single host name none."""
        return entry.get("host") if self.whole == "stack" else None

    @property
    def whole(self) -> str:
        """Whether the sections belong to a whole stack ("stack") or to one host ("host")."""
        return "host" if _THIS in self.hosts else "stack"

    def how_to_add(self, secret: str) -> str:
        """Return a hint that says how to declare a secret."""
        if self.whole == "stack":
            return f"`pulumi config set --secret --path {NAMESPACE}:secrets.{secret}` asks for it"
        return f"add the secret to {self.root.at.field('secrets')}"


def of_host(written: Written) -> None:
    """Check one host that a program declares, with its stores, apps and sites."""
    declared = Declared({_THIS: written}, written)
    for check in (
        rules,
        ports,
        names_of_apps,
        uses_of_apps,
        circles,
        networks,
        secrets_of_apps,
        secret_variables,
        apps_of_sites,
        site_checks.sites,
        tunnels,
        own_ports,
        keys_from_metadata,
        shut_out,
    ):
        check(declared)


def of_stack(written: Written) -> None:
    """Check a stack's whole file."""
    declared = Declared(written.entries("hosts"), written)
    for check in (
        rules,
        hosts_of("stores"),
        hosts_of("apps"),
        ports,
        names_of_apps,
        uses_of_apps,
        circles,
        networks,
        secrets_of_apps,
        secret_variables,
        apps_of_sites,
        hosts_of_sites,
        site_checks.authorities,
        site_checks.sites,
        tunnels,
        own_ports,
        keys_from_metadata,
        shut_out,
        digests,
    ):
        check(declared)


def rules(declared: Declared) -> None:
    """Refuse firewall rules for the ports of SSH and nginx.

    These parts open and close their own ports. A second rule would keep a port open after its part is gone.
    """
    served = {declared.host_of(site) for site in declared.sites.values()}
    for alias, host in declared.hosts.items():
        port = whole(host.get("port", 22))
        opened = {port: "the SSH server"}
        if alias in served or (served and len(declared.hosts) == 1):
            opened |= {80: "nginx", 443: "nginx"}
        if opened[port] == "nginx":
            host.at.field("port").refuse(
                port, "is a port of nginx, which serves sites on this host", "choose another"
            )
        firewall = host.section("firewall")
        for section in ("allow", "public"):
            for rule, _, place in firewall.items(section):
                _rule(rule, opened, place)


def _rule(rule: str, opened: Mapping[int | None, str], at: SettingPath) -> None:
    ports, _, protocol = rule.partition("/")
    first, _, last = ports.partition(":")
    for port, owner in opened.items():
        if protocol == "tcp" and _within(port, first, last or first):
            at.report(f"covers port {port}, which is already open for {owner}", "remove it")


def _within(port: int | None, first: str, last: str) -> bool:
    least, most = whole(first), whole(last)
    return port is not None and least is not None and most is not None and least <= port <= most


def hosts_of(section: str) -> Callable[[Declared], None]:
    """Return a check that each app or store of a section names a declared host."""

    def check(declared: Declared) -> None:
        hosts = declared.hosts
        for entry in declared.root.entries(section).values():
            host, place = declared.named(entry), entry.at.field("host")
            if isinstance(host, str) and host not in hosts:
                place.refuse(host, "is not a host of this stack", closest(host, hosts))
            if host is None and len(hosts) > 1:
                place.report("is missing", f"this stack has several hosts: {', '.join(sorted(hosts))}")

    return check


def ports(declared: Declared) -> None:
    """Check that no two programs listen on one port. sshd and nginx listen on docker0's address too."""
    taken: dict[tuple[str, int | None], str] = {}
    for alias, host in declared.hosts.items():
        logins = [host, host.section("bootstrap")] if "bootstrap" in host else [host]
        taken |= {(alias, whole(login.get("port", 22))): "the SSH server" for login in logins}
        taken |= {(alias, 80): "nginx", (alias, 443): "nginx"}
    published = [
        *((f"store {name}", store, _STORE_PORTS.get(name)) for name, store in declared.stores.items()),
        *((f"app {name}", app, None) for name, app in declared.apps.items()),
    ]
    for what, entry, usual in published:
        alias, port = declared.named(entry) or declared.only, whole(entry.get("host_port", usual))
        if port is None or not isinstance(alias, str):
            continue
        owner = taken.setdefault((alias, port), what)
        if owner != what:
            entry.at.field("host_port").refuse(
                port, f"is already used on {alias} by {owner}", "choose another"
            )


def own_ports(declared: Declared) -> None:
    """Check that no local user of a host can listen on a port of its containers."""
    entries = [*declared.stores.values(), *declared.apps.values()]
    used = [declared.named(entry) or declared.only for entry in entries]
    used += [declared.host_of(site) or declared.only for site in declared.sites.values()]
    for alias, host in declared.hosts.items():
        kernel = host.section("kernel")
        values = {key: (value, place) for key, value, place in kernel.items("values")}
        only = tuple(str(prefix) for prefix, _ in kernel.elements("only")) or ("",)
        value, place = values.get(PORT_START, ("", kernel.at.field("only")))
        is_managed = PORT_START.startswith(only) or not any(key.startswith(only) for key in DEFAULTS)
        if alias in used and (value is None or not is_managed):
            why = f"leaves out {PORT_START}, so a local user could listen in the place of a container"
            place.report(why, "manage it here, or declare no sites, stores and apps on this host")


def keys_from_metadata(declared: Declared) -> None:
    """Check that a program that brings users' keys from the cloud's metadata may still ask there.

    Such programs are EC2 Instance Connect and OS Login. sshd runs them as another user than root.
    """
    for host in declared.hosts.values():
        for name, value, place in host.section("ssh").items("options"):
            is_program = name.lower() == "authorizedkeyscommand" and value not in (None, "none")
            if is_program and "metadata_for_users" not in host.section("firewall"):
                how = f"set {host.at.spell('firewall')}.metadataForUsers: true if it asks there, else false"
                place.report("may need the cloud's metadata, which users other than root do not reach", how)


def names_of_apps(declared: Declared) -> None:
    """Check that the containers, networks and volumes of apps and stores have different names."""
    reached = {app for site in declared.sites.values() for app, _ in site_checks.apps_of(site)}
    reached |= {use for app in declared.apps.values() for use, _ in _uses(app)}
    rolled_out = [name for name, app in declared.apps.items() if name in reached and "host_port" not in app]
    check_names(declared, rolled_out)


def uses_of_apps(declared: Declared) -> None:
    """Check that each app uses declared stores and apps of its own host, which no network leaves."""
    stores, apps = declared.stores, declared.apps
    without = {name for name in _WITH_DATABASES if name in stores}
    known = [name for name in (*stores, *apps) if name not in without]
    databases = _databases(declared)
    for name, app in apps.items():
        if name in stores:
            app.at.report("is also the name of a store", "give the app another name")
        others = [*(each for each in known if each != name), *databases]
        for use, place in _uses(app):
            if use in without:
                mine = [each for each in databases if each.partition(".")[0] == use]
                hint = f"write one of {', '.join(mine)}" if mine else "declare one"
                place.refuse(use, "names no database", hint)
            elif use not in (*known, *databases):
                hint = closest(use, others)
                if use.partition(".")[0] in _STORE_PORTS and not hint.endswith("?"):
                    hint = f"declare the store: {declared.root.at.field('stores')}"
                place.refuse(use, f"is not an app or a store of this {declared.whole}", hint)
            else:
                used = stores.get(use.partition(".")[0]) or apps[use]
                theirs, ours = (declared.named(entry) or declared.only for entry in (used, app))
                if theirs != ours:
                    how = f"an app on {ours} can only use apps and stores on {ours}"
                    place.refuse(use, f"runs on {theirs}", how)
                elif use in apps and "port" not in apps[use]:
                    how = f"write the port under {apps[use].at}.port"
                    place.refuse(use, "has no port that apps could reach", how)


def _databases(declared: Declared) -> list[str]:
    """Return the databases as `uses` names them, such as `mongo.shop`."""
    stores = {name: store for name, store in declared.stores.items() if name in _WITH_DATABASES}
    return [f"{name}.{each}" for name, store in stores.items() for each, _, _ in store.items("databases")]


def _uses(app: Written) -> list[tuple[str, SettingPath]]:
    """Return what an app uses, with the path of each. What is no name has been reported already."""
    return [(use, place) for use, place in app.elements("uses") if valid(Use, use) is not None]


def circles(declared: Declared) -> None:
    """Check that no app uses itself, not even through others: each starts after those that it uses."""
    uses = {
        name: {use: place for use, place in _uses(app) if use in declared.apps}
        for name, app in declared.apps.items()
    }
    while True:
        try:
            return TopologicalSorter(uses).prepare()
        except CycleError as error:
            circle = error.args[1][::-1]
        place = uses[circle[0]].pop(circle[1])
        place.refuse(
            circle[1],
            f"leads back to the app itself: {' uses '.join(circle)}",
            "write one direction only; on the network of a pair each reaches the other",
        )


def networks(declared: Declared) -> None:
    """Check that Docker's address pools have room for each network of a host."""
    for alias, host in declared.hosts.items():
        engine = host.section("docker_engine")
        room = capacity(engine)
        apps, stores = (
            {
                name: entry
                for name, entry in section.items()
                if (declared.named(entry) or declared.only) == alias
            }
            for section in (declared.apps, declared.stores)
        )
        pairs = sum(len({use.partition(".")[0] for use, _ in _uses(app)}) for app in apps.values())
        shared = sum(name in WITH_SHARED_NETWORK for name in stores)
        needed = len(apps) + len(stores) + shared + pairs
        if room is not None and needed > room:
            engine.at.field("address_pools").report(
                f"has room for {room} networks, but this host needs {needed}: one for each app, one or "
                "two for each store, and one for each app or store that an app uses",
                "add a pool",
            )


def secrets_of_apps(declared: Declared) -> None:
    """Check that each app names declared secrets."""
    secrets = declared.secrets
    for app in declared.apps.values():
        for secret, place in app.elements("secrets"):
            if not isinstance(secret, str):
                continue  # the check of a single name reports this fault
            if secret.startswith((*_STORE_FILES, *(f"{store}_" for store in declared.stores))):
                place.refuse(secret, "is a file name that the stores use", "give the secret another name")
            if secret not in secrets:
                # Somebody may have written the secret itself instead of its name.
                added = declared.how_to_add("NAME" if place.is_secret else secret)
                hint = closest(secret, secrets) if secrets else added
                place.refuse(secret, f"is not a secret of this {declared.whole}", hint)


def secret_variables(declared: Declared) -> None:
    """Check that each variable with a secret names a login of a used store, or else a declared secret.

    No message shows the value: somebody may have written the secret itself.
    """
    logins = {*_databases(declared), *({"redis"} & declared.stores.keys())}
    for app in declared.apps.values():
        uses = {use for use, _ in _uses(app)} & logins
        for _, value, place in app.items("secret_env"):
            if valid(SecretReference, value) is None:
                continue
            is_login, is_secret = login_file(value, uses) is not None, value in declared.secrets
            if is_login and is_secret:
                place.report("names a login of a store, and a secret", "give the secret another name")
            elif not is_login and not is_secret:
                parts = [f"{use}.{part}" for use in uses for part in PARTS] if "." in value else []
                how = closest(value, [*uses, *declared.secrets, *parts]) if uses or declared.secrets else ""
                if unused := next((use for use in logins if login_file(value, [use])), None):
                    how = f"add {unused} to {app.at.field('uses')}"
                place.report(
                    f"is neither a login of a store in uses, nor a secret of this {declared.whole}",
                    how or declared.how_to_add("NAME"),
                )


def apps_of_sites(declared: Declared) -> None:
    """Check that the apps of each site are declared, listen on a port, and run on the same host."""
    apps = declared.apps
    for site in declared.sites.values():
        first = None
        for app, place in site_checks.apps_of(site):
            if app not in apps:
                place.refuse(app, f"is not an app of this {declared.whole}", closest(app, apps))
                continue
            if "port" not in apps[app]:
                hint = f"write the port that it listens on under {apps[app].at}.port"
                place.refuse(app, "has no port that nginx could reach", hint)
            host = declared.named(apps[app])
            first = first or host
            if host != first:
                place.refuse(app, f"runs on {host}, but the site's other app runs on {first}", "use one host")
            if declared.named(site) not in (None, host) and host is not None:
                place.refuse(
                    app, f"runs on {host}, not on {declared.named(site)}", "remove host from the site"
                )


def hosts_of_sites(declared: Declared) -> None:
    """Check that each site has a declared host."""
    hosts = declared.hosts
    for site in declared.sites.values():
        host, place = declared.named(site), site.at.field("host")
        if isinstance(host, str) and host not in hosts:
            place.refuse(host, "is not a host of this stack", closest(host, hosts))
        if declared.host_of(site) is None and len(hosts) > 1 and not list(site_checks.apps_of(site)):
            place.report("is missing", f"this stack has several hosts: {', '.join(sorted(hosts))}")


def tunnels(declared: Declared) -> None:
    """Check that tunnels lead to declared stores, and that no user has the name of a tunnel account."""
    people, stores = declared.root.entries("tunnels"), declared.stores
    for person in people.values():
        for store, place in person.elements("to"):
            if isinstance(store, str) and store not in stores:
                place.refuse(store, f"is not a store of this {declared.whole}", closest(store, stores))
    for host in declared.hosts.values() if people else ():
        for user, _, place in host.items("users"):
            if user.startswith(PREFIX):
                place.report(
                    f"begins with {PREFIX}, which only tunnel accounts may",
                    "give the user another name",
                )


def shut_out(declared: Declared) -> None:
    """Check that the options of each SSH server admit the tunnel accounts and the preview account."""
    for alias, host in declared.hosts.items():
        accounts = [
            account(person)
            for person, tunnel in declared.root.entries("tunnels").items()
            if alias in _reached(declared, tunnel)
        ]
        accounts += [ACCOUNT] if "preview" in host else []
        options = {
            name: value for name, value, _ in host.section("ssh").items("options") if isinstance(value, str)
        }
        at = host.at.field("ssh").field("options")
        for name, why, how in shuts_out(options, accounts):
            at.key(name).report(why, how)


def _reached(declared: Declared, tunnel: Written) -> set[str]:
    """Return the hosts of the stores that a tunnel leads to."""
    stores = declared.stores
    named = [store for store, _ in tunnel.elements("to") if isinstance(store, str) and store in stores]
    hosts = (declared.named(stores[store]) or declared.only for store in named)
    return {host for host in hosts if isinstance(host, str)}


def digests(declared: Declared) -> None:
    """Check that every image has a digest, if the stack requires digests."""
    if declared.root.section("images").get("digests") != "required":
        return
    for section, default in (("apps", ""), ("stores", ":")):
        for entry in declared.root.entries(section).values():
            image = entry.get("image", default)
            if isinstance(image, str) and image and "@" not in image:
                what = "defaults to a tag" if image == default else f'"{image}" is a tag'
                entry.at.field("image").report(
                    f"{what}, but images.digests is required", "write NAME@sha256:…"
                )
