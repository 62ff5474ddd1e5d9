"""From a stack's configuration to validated settings, with every fault at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portcullis.settings.faults import Fault, Place, SettingsError, closest
from portcullis.settings.model import AppSettings, HostSettings, Settings, SiteSettings
from portcullis.settings.sections import APPS, HOSTS, SITES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from portcullis.settings.kinds import Kind

NAMESPACE = "portcullis"
KEYS: Mapping[str, Kind[Any]] = {"hosts": HOSTS, "apps": APPS, "sites": SITES}


def load(config: Mapping[str, Any], secret: Collection[str] = ()) -> Settings:
    """Validate the configuration of one stack.

    Args:
        config: the values under this program's namespace, by key without the namespace.
        secret: the keys that hold an encrypted value somewhere; faults under them show no values.

    Raises:
        SettingsError: with every fault that can be found without the host.
    """
    faults: list[Fault] = []
    places = {key: Place(f"{NAMESPACE}:{key}", faults, key in secret) for key in {*KEYS, *config}}
    for key in config:
        if key not in KEYS:
            places[key].report("is not a known key", closest(key, KEYS))
    hosts: dict[str, HostSettings] = HOSTS.read(config.get("hosts"), places["hosts"]) or {}
    apps: dict[str, AppSettings] = APPS.read(config.get("apps"), places["apps"]) or {}
    sites: dict[str, SiteSettings] = SITES.read(config.get("sites"), places["sites"]) or {}
    if not config.get("hosts"):
        places["hosts"].report("declares no host", "docs/configuration.md shows one")
    settings = Settings(hosts, apps, sites, frozenset(secret))
    _check_apps(settings, config, places["apps"])
    _check_ports(settings, places["apps"])
    _check_sites(settings, config, places["sites"])
    if faults:
        raise SettingsError(faults)
    return settings


def _check_apps(settings: Settings, config: Mapping[str, Any], at: Place) -> None:
    """Every app must name a host that is declared; names come from the raw text, so a faulty host counts."""
    declared = _names(config, "hosts")
    for name, app in settings.apps.items():
        if app.host and app.host not in declared:
            at.key(name).key("host").refuse(
                app.host, "is not a host of this stack", closest(app.host, declared)
            )
        if not app.host and len(declared) > 1:
            at.key(name).key("host").report(
                "is missing", f"this stack has several: {', '.join(sorted(declared))}"
            )


def _check_ports(settings: Settings, at: Place) -> None:
    """No two programs can listen on one port; sshd and nginx listen on every address, docker0's included."""
    taken: dict[tuple[str, int], str] = {}
    for alias, host in settings.hosts.items():
        taken |= {(alias, 80): "nginx", (alias, 443): "nginx", (alias, host.port): "the SSH server"}
        if host.bootstrap is not None:
            taken.setdefault((alias, host.bootstrap.port), "the SSH server (bootstrap)")
    for name, app in settings.apps.items():
        alias = app.host or (next(iter(settings.hosts)) if len(settings.hosts) == 1 else "")
        if app.host_port is None or alias not in settings.hosts:
            continue
        owner = taken.setdefault((alias, app.host_port), f"app {name}")
        if owner != f"app {name}":
            at.key(name).key("hostPort").refuse(
                app.host_port, f"is taken on {alias} by {owner}", "choose another"
            )


def _check_sites(settings: Settings, config: Mapping[str, Any], at: Place) -> None:
    """A site needs an app that is declared and published."""
    declared = _names(config, "apps")
    for name, site in settings.sites.items():
        if site.app not in declared:
            at.key(name).key("app").refuse(
                site.app, "is not an app of this stack", closest(site.app, declared)
            )
        elif site.app in settings.apps and settings.apps[site.app].host_port is None:
            at.key(name).key("app").refuse(
                site.app,
                "is not published",
                f"give portcullis:apps.{site.app} a hostPort that nginx can reach",
            )


def _names(config: Mapping[str, Any], key: str) -> set[str]:
    raw = config.get(key)
    return {str(name) for name in raw} if isinstance(raw, dict) else set()
