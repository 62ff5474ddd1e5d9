"""From a stack's configuration to validated settings, with every fault at once."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from portcullis.settings.faults import Fault, Place, SettingsError, closest
from portcullis.settings.forms import NO_SITES
from portcullis.settings.kinds import whole
from portcullis.settings.model import AppSettings, HostSettings, Settings, SiteSettings
from portcullis.settings.sections import APPS, HOSTS, SITES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from portcullis.settings.kinds import Kind

NAMESPACE = "portcullis"
KEYS: Mapping[str, Kind[Any]] = {"hosts": HOSTS, "apps": APPS, "sites": SITES}


def load(config: Mapping[str, Any], secret: Collection[str] = (), others: Collection[str] = ()) -> Settings:
    """Validate the configuration of one stack.

    Args:
        config: the values under this program's namespace, by key without the namespace.
        secret: the keys that hold an encrypted value somewhere; faults under them show no values.
        others: the whole keys of other namespaces. One that looks like ours is a misspelt one, and what
            stands under it would be taken for removed.

    Raises:
        SettingsError: with every fault that can be found without the host.
    """
    faults: list[Fault] = []
    places = {key: Place(f"{NAMESPACE}:{key}", faults, key in secret) for key in {*KEYS, *config}}
    for key in config:
        if key not in KEYS:
            places[key].report("is not a known key", closest(key, KEYS))
    for key in others:
        if difflib.get_close_matches(key.partition(":")[0].lower(), [NAMESPACE], cutoff=0.75):
            Place(key, faults).report("is not read", f"this program's keys begin with {NAMESPACE}:")
    hosts: dict[str, HostSettings] = HOSTS.read(config.get("hosts"), places["hosts"]) or {}
    if not config.get("hosts"):
        places["hosts"].report("declares no host", "docs/configuration.md shows one")
    apps: dict[str, AppSettings] = APPS.read(config.get("apps"), places["apps"]) or {}
    _check_rules(config, places["hosts"])
    _check_hosts_of_apps(config, places["apps"])
    _check_ports(config, places["apps"])
    sites: dict[str, SiteSettings] = SITES.read(config.get("sites"), places["sites"]) or {}
    _check_apps_of_sites(config, places["sites"])
    _check_systems_of_sites(config, places["sites"])
    if faults:
        raise SettingsError(faults)
    return Settings(hosts, apps, sites, frozenset(secret))


# The checks between sections read the raw maps, so that a fault inside an entry hides none of these.


def _check_rules(config: Mapping[str, Any], at: Place) -> None:
    """What SSH and nginx need is opened with them, and closed with them: a second rule would outlive that."""
    hosts, apps = _entries(config, "hosts"), _entries(config, "apps")
    served = {apps.get(str(site.get("app")), {}).get("host") for site in _entries(config, "sites").values()}
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
                _check_rule(str(rule), opened, at.key(alias).key("firewall").key(section).key(str(rule)))


def _check_rule(rule: str, opened: Mapping[int | None, str], at: Place) -> None:
    ports, _, protocol = rule.partition("/")
    first, _, last = ports.partition(":")
    for port, owner in opened.items():
        if protocol == "tcp" and _within(port, first, last or first):
            at.report(f"holds {port}, which is opened for {owner}", "leave it out")


def _within(port: int | None, first: str, last: str) -> bool:
    least, most = whole(first), whole(last)
    return None not in (port, least, most) and least <= port <= most  # type: ignore[operator]


def _check_hosts_of_apps(config: Mapping[str, Any], at: Place) -> None:
    """Every app must name a host that is declared."""
    hosts = _entries(config, "hosts")
    for name, app in _entries(config, "apps").items():
        host, place = app.get("host"), at.key(name).key("host")
        if isinstance(host, str) and host not in hosts:
            place.refuse(host, "is not a host of this stack", closest(host, hosts))
        if host is None and len(hosts) > 1:
            place.report("is missing", f"this stack has several: {', '.join(sorted(hosts))}")


def _check_ports(config: Mapping[str, Any], at: Place) -> None:
    """No two programs can listen on one port; sshd and nginx listen on every address, docker0's included."""
    hosts = _entries(config, "hosts")
    taken: dict[tuple[str, int | None], str] = {}
    for alias, host in hosts.items():
        logins = [host, host["bootstrap"]] if isinstance(host.get("bootstrap"), dict) else [host]
        taken |= {(alias, whole(login.get("port", 22))): "the SSH server" for login in logins}
        taken |= {(alias, 80): "nginx", (alias, 443): "nginx"}
    for name, app in _entries(config, "apps").items():
        alias, port = app.get("host") or next(iter(hosts), ""), whole(app.get("hostPort"))
        if port is None or not isinstance(alias, str):
            continue
        owner = taken.setdefault((alias, port), f"app {name}")
        if owner != f"app {name}":
            at.key(name).key("hostPort").refuse(port, f"is taken on {alias} by {owner}", "choose another")


def _check_apps_of_sites(config: Mapping[str, Any], at: Place) -> None:
    """A site needs an app that is declared and published."""
    apps = _entries(config, "apps")
    for name, site in _entries(config, "sites").items():
        app, place = site.get("app"), at.key(name).key("app")
        if not isinstance(app, str):
            continue
        if app not in apps:
            place.refuse(app, "is not an app of this stack", closest(app, apps))
        elif apps[app].get("hostPort") is None:
            hint = f"give {NAMESPACE}:apps.{app} a hostPort, so that nginx can reach it"
            place.refuse(app, "is not published", hint)


def _check_systems_of_sites(config: Mapping[str, Any], at: Place) -> None:
    """A site needs a host whose nginx can keep its name apart from all others."""
    hosts, apps = _entries(config, "hosts"), _entries(config, "apps")
    for name, site in _entries(config, "sites").items():
        app = site.get("app")
        alias = (apps.get(app, {}) if isinstance(app, str) else {}).get("host") or next(iter(hosts), "")
        system = hosts.get(alias, {}).get("os") if isinstance(alias, str) else None
        if isinstance(system, str) and system in NO_SITES:
            at.key(name).report(
                f"cannot be served by {alias}, which runs {system}: {NO_SITES[system]}",
                "run its app on a host with a newer system",
            )


def _entries(config: Mapping[str, Any], key: str) -> dict[str, dict[str, Any]]:
    """Give the entries of a section, each as a map; what is none counts as declared and empty."""
    raw = config.get(key)
    if not isinstance(raw, dict):
        return {}
    return {str(name): entry if isinstance(entry, dict) else {} for name, entry in raw.items()}
