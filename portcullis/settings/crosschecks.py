"""What is wrong between the sections of the settings: names that nothing has, ports that two things want.

Every check reads the raw maps, so that a fault inside an entry hides none of these.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from portcullis.settings.app_names import check_names
from portcullis.settings.faults import NAMESPACE, Place, closest
from portcullis.settings.forms import NO_SITES, STORE_USE
from portcullis.settings.kinds import whole
from portcullis.settings.raw import entries
from portcullis.settings.secrets_section import encrypted, passwords
from portcullis.settings.site_checks import (
    authorities_of_sites,
    authority,
    names_of_sites,
    secrets_of_sites,
    systems_of_sites,
)
from portcullis.settings.tunnels import check_tunnels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Check = Callable[[Mapping[str, Any], Place], None]

_STORE_FILES = ("redis_", "mongo_")
_STORE_PORTS = {"redis": 6379, "mongo": 27017}


def run(key: str, config: Mapping[str, Any], at: Place) -> None:
    """Report the faults of one top-level key that the other keys make, or that make theirs."""
    for check in _CHECKS.get(key, ()):
        check(config, at)


def rules(config: Mapping[str, Any], at: Place) -> None:
    """What SSH and nginx need is opened with them, and closed with them: a second rule would outlive that."""
    hosts = entries(config, "hosts")
    served = {_host(config, site) for site in entries(config, "sites").values()}
    for alias, host in hosts.items():
        port = whole(host.get("port", 22))
        opened = {port: "the SSH server"}
        if alias in served or (served and len(hosts) == 1):
            opened |= {80: "nginx", 443: "nginx"}
        if port is not None and opened[port] == "nginx":
            at.key(alias).key("port").refuse(port, "is nginx's, which serves sites here", "choose another")
        firewall = host.get("firewall")
        for section in ("allow", "public"):
            rules = firewall.get(section) if isinstance(firewall, dict) else None
            for rule in rules if isinstance(rules, dict) else ():
                _rule(str(rule), opened, at.key(alias).key("firewall").key(section).key(str(rule)))


def _rule(rule: str, opened: Mapping[int | None, str], at: Place) -> None:
    ports, _, protocol = rule.partition("/")
    first, _, last = ports.partition(":")
    for port, owner in opened.items():
        if protocol == "tcp" and _within(port, first, last or first):
            at.report(f"holds {port}, which is opened for {owner}", "leave it out")


def _within(port: int | None, first: str, last: str) -> bool:
    least, most = whole(first), whole(last)
    return None not in (port, least, most) and least <= port <= most  # type: ignore[operator]


def hosts_of(section: str) -> Check:
    """Give the check that every app, or store, names a host that is declared."""

    def check(config: Mapping[str, Any], at: Place) -> None:
        hosts = entries(config, "hosts")
        for name, entry in entries(config, section).items():
            host, place = entry.get("host"), at.key(name).key("host")
            if isinstance(host, str) and host not in hosts:
                place.refuse(host, "is not a host of this stack", closest(host, hosts))
            if host is None and len(hosts) > 1:
                place.report("is missing", f"this stack has several: {', '.join(sorted(hosts))}")

    return check


def ports(config: Mapping[str, Any], at: Place) -> None:
    """No two programs can listen on one port; sshd and nginx listen on every address, docker0's included."""
    hosts = entries(config, "hosts")
    taken: dict[tuple[str, int | None], str] = {}
    for alias, host in hosts.items():
        logins = [host, host["bootstrap"]] if isinstance(host.get("bootstrap"), dict) else [host]
        taken |= {(alias, whole(login.get("port", 22))): "the SSH server" for login in logins}
        taken |= {(alias, 80): "nginx", (alias, 443): "nginx"}
    stores = Place(f"{NAMESPACE}:stores", at.faults)
    published = [
        *(
            (f"store {n}", s, stores.key(n), _STORE_PORTS.get(n))
            for n, s in entries(config, "stores").items()
        ),
        *((f"app {n}", a, at.key(n), None) for n, a in entries(config, "apps").items()),
    ]
    for what, entry, place, usual in published:
        alias, port = entry.get("host") or next(iter(hosts), ""), whole(entry.get("hostPort", usual))
        if port is None or not isinstance(alias, str):
            continue
        owner = taken.setdefault((alias, port), what)
        if owner != what:
            place.key("hostPort").refuse(port, f"is taken on {alias} by {owner}", "choose another")


def stores_of_apps(config: Mapping[str, Any], at: Place) -> None:
    """An app uses stores that are declared, on its own host: their networks do not reach further."""
    stores, hosts = entries(config, "stores"), entries(config, "hosts")
    declared = [name for name in stores if name != "mongo"]
    databases = stores.get("mongo", {}).get("databases")
    declared += [f"mongo.{name}" for name in databases] if isinstance(databases, dict) else []
    for name, app in entries(config, "apps").items():
        if name in stores:
            at.key(name).report(f"has the name of the store {name}", "give the app another name")
        uses = app.get("uses")
        for index, use in enumerate(uses if isinstance(uses, list) else ()):
            place = at.key(name).key("uses").item(index)
            if use == "mongo" and "mongo" in stores:
                known = ", ".join(use for use in declared if use.startswith("mongo."))
                place.refuse(use, "names no database", f"write one of {known}" if known else "declare one")
            elif not re.fullmatch(STORE_USE.pattern, str(use)):
                continue  # that has been said already
            elif str(use) not in declared:
                hint = closest(str(use), declared) if declared else f"declare it: {NAMESPACE}:stores"
                place.refuse(use, "is not a store of this stack", hint)
            else:
                store = stores[str(use).partition(".")[0]]
                theirs, ours = (entry.get("host") or next(iter(hosts), "") for entry in (store, app))
                if theirs != ours:
                    place.refuse(use, f"runs on {theirs}", f"an app on {ours} uses the stores of {ours}")


def names_of_apps(config: Mapping[str, Any], at: Place) -> None:
    """No two apps, nor an app and a store, may have something of one name on the host."""
    only = next(iter(entries(config, "hosts")), "")
    apps = {name: {**app, "host": app.get("host") or only} for name, app in entries(config, "apps").items()}
    served = {app for site in entries(config, "sites").values() for app, _ in _apps(site, Place(""))}
    rolled_out = [name for name, app in apps.items() if name in served and app.get("hostPort") is None]
    check_names(apps, entries(config, "stores"), rolled_out, at)


def digests(config: Mapping[str, Any], at: Place) -> None:
    """Where the policy wants digests, every image must have one."""
    policy = config.get("images")
    if not isinstance(policy, dict) or policy.get("digests") != "required":
        return
    for section, default in (("apps", ""), ("stores", ":")):
        for name, entry in entries(config, section).items():
            image = entry.get("image", default)
            if isinstance(image, str) and image and "@" not in image:
                place = Place(f"{NAMESPACE}:{section}", at.faults).key(name).key("image")
                what = "is the default, a tag" if image == default else f'"{image}" is a tag'
                place.report(f"{what}, and images.digests is required", "write NAME@sha256:…")


def people(config: Mapping[str, Any], at: Place) -> None:
    """Tunnels lead to stores that are declared, from accounts that are nobody else's."""
    check_tunnels(config, at, Place(f"{NAMESPACE}:hosts", at.faults), list(entries(config, "stores")))


def secrets_of_apps(config: Mapping[str, Any], at: Place) -> None:
    """An app gets secrets that the stack has."""
    raw = config.get("secrets")
    declared = [str(name) for name in raw] if isinstance(raw, dict) else []
    for name, app in entries(config, "apps").items():
        names = app.get("secrets")
        for index, secret in enumerate(names if isinstance(names, list) else ()):
            if str(secret).startswith(_STORE_FILES):
                at.key(name).key("secrets").item(index).refuse(
                    secret, "is what a store's own file is called", "give the secret another name"
                )
            if secret not in declared:
                how = f"`pulumi config set --secret --path {NAMESPACE}:secrets.{secret}` asks for it"
                hint = closest(str(secret), declared) if declared else how
                at.key(name).key("secrets").item(index).refuse(secret, "is not a secret of this stack", hint)


def apps_of_sites(config: Mapping[str, Any], at: Place) -> None:
    """A site needs apps that are declared, listen on a port, and run on one host."""
    apps = entries(config, "apps")
    for name, site in entries(config, "sites").items():
        first = None
        for app, place in _apps(site, at.key(name)):
            if app not in apps:
                place.refuse(app, "is not an app of this stack", closest(app, apps))
                continue
            if apps[app].get("port") is None:
                hint = f"give {NAMESPACE}:apps.{app} the port that it listens on, so that nginx can reach it"
                place.refuse(app, "is not published", hint)
            host = apps[app].get("host")
            first = first or host
            if host != first:
                place.refuse(app, f"runs on {host}, and this site's other app on {first}", "use one host")
            if site.get("host") not in (None, host) and host is not None:
                place.refuse(app, f"runs on {host}, not on {site['host']}", "leave host out")


def hosts_of_sites(config: Mapping[str, Any], at: Place) -> None:
    """A site needs a host, whose nginx can keep its name apart from all others."""
    hosts = entries(config, "hosts")
    for name, site in entries(config, "sites").items():
        alias, place = _host(config, site), at.key(name)
        if isinstance(site.get("host"), str) and site["host"] not in hosts:
            place.key("host").refuse(
                site["host"], "is not a host of this stack", closest(site["host"], hosts)
            )
        if alias is None and len(hosts) > 1 and not list(_apps(site, place)):
            place.key("host").report("is missing", f"this stack has several: {', '.join(sorted(hosts))}")
        alias = alias or next(iter(hosts), "")
        system = hosts.get(alias, {}).get("os")
        if isinstance(system, str) and system in NO_SITES:
            place.report(
                f"cannot be served by {alias}, which runs {system}: {NO_SITES[system]}",
                "run its app on a host with a newer system",
            )


def systems(config: Mapping[str, Any], at: Place) -> None:
    """A host's own packages have to be able to do what its sites ask for."""
    only = next(iter(entries(config, "hosts")), "")
    systems_of_sites(config, {n: _host(config, s) or only for n, s in entries(config, "sites").items()}, at)


def _apps(site: Mapping[str, Any], at: Place) -> Iterator[tuple[str, Place]]:
    """Give the apps that a site names, each with its place."""
    paths = site.get("paths")
    named = [(site.get("app"), at.key("app"))]
    if isinstance(paths, dict):
        named += [(app, at.key("paths").key(str(path))) for path, app in paths.items()]
    yield from ((app, place) for app, place in named if isinstance(app, str))


def _host(config: Mapping[str, Any], site: Mapping[str, Any]) -> str | None:
    """Give the host that a site, or the first app of it that does, names."""
    apps = entries(config, "apps")
    named = [site.get("host"), *(apps.get(app, {}).get("host") for app, _ in _apps(site, Place("")))]
    return next((host for host in named if isinstance(host, str)), None)


_CHECKS: Mapping[str, tuple[Check, ...]] = {
    "hosts": (rules,),
    "images": (digests,),
    "registries": (encrypted,),
    "secrets": (encrypted,),
    "stores": (hosts_of("stores"), passwords),
    "backups": (passwords,),
    "apps": (hosts_of("apps"), ports, names_of_apps, stores_of_apps, secrets_of_apps),
    "acme": (authority,),
    "sites": (
        *(apps_of_sites, hosts_of_sites, authorities_of_sites, names_of_sites, secrets_of_sites),
        systems,
    ),
    "tunnels": (people,),
}
