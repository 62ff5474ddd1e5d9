"""What is wrong between a site and the other settings: authority, names, secrets, its host's packages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from portcullis.dialect import DIALECTS
from portcullis.settings import own_certificates
from portcullis.settings.faults import NAMESPACE, Place, closest
from portcullis.settings.raw import entries

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LONGEST_PASSWORD = 72  # bytes: bcrypt reads no more


def authority(config: Mapping[str, Any], at: Place) -> None:
    """An authority has a root that can be read, and a provider of DNS has its credentials."""
    raw = config.get("acme")
    acme = raw if isinstance(raw, dict) else {}
    if isinstance(acme.get("caBundle"), str):
        own_certificates.chain(acme["caBundle"], at.key("caBundle"))
    if isinstance(acme.get("dns"), dict):
        _secret(config, acme["dns"].get("credentials"), at.key("dns").key("credentials"))


def authorities_of_sites(config: Mapping[str, Any], at: Place) -> None:
    """A site whose certificate an authority issues needs one; a name proven by DNS needs a provider."""
    raw = config.get("acme")
    for name, site in entries(config, "sites").items():
        if not by_acme(site):
            continue
        if not raw:
            at.key(name).report(
                "has no authority for its certificate",
                f"write {NAMESPACE}:acme: {{email: you@example.com}}, or here tls: internal, or tls: none",
            )
        elif site.get("challenge") == "dns" and not (isinstance(raw, dict) and raw.get("dns")):
            how = f"write {NAMESPACE}:acme.dns: {{provider: …, credentials: …}}"
            at.key(name).key("challenge").refuse("dns", "needs a provider", how)


def names_of_sites(config: Mapping[str, Any], at: Place) -> None:
    """No two sites have one name: nginx would take the first, with a warning that nobody reads."""
    sites = entries(config, "sites")
    first: dict[str, str] = dict.fromkeys(sites, "is a site of its own")
    for name, site in sites.items():
        for other, place in _other_names(site, at.key(name)):
            if other == name:
                place.refuse(other, "is the site's own name", "leave it out")
            elif other in first:
                place.refuse(other, first[other], "a name leads to one place")
            first.setdefault(other, f"is a name of {name} already")
    owners = {other: name for name, site in sites.items() for other, _ in _other_names(site, at)}
    owners |= {name: name for name in sites}
    for name in sites:
        if _comes_back(name, sites, owners):
            target = sites[name]["redirect"]
            at.key(name).key("redirect").refuse(target, "leads back here", "visitors would go in a circle")


def _comes_back(name: str, sites: Mapping[str, Mapping[str, Any]], owners: Mapping[str, str]) -> bool:
    """Tell whether redirects lead from a site to itself, by way of others or at once."""
    seen: set[str] = set()
    here: str | None = name
    while here is not None and here not in seen:
        seen.add(here)
        target = sites[here].get("redirect")
        there = _host_of(target) if isinstance(target, str) else None
        here = _site_of(there, owners) if there else None
        if here == name:
            return True
    return False


def _host_of(url: str) -> str | None:
    """Give the host name of what may be no URL at all: that is said where its form is checked."""
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _site_of(host: str, owners: Mapping[str, str]) -> str | None:
    """Give the site that nginx takes for a host name: its own, or that of the longest wildcard."""
    labels = host.split(".")
    candidates = [host, *(f"*.{'.'.join(labels[index:])}" for index in range(1, len(labels)))]
    return next((owners[candidate] for candidate in candidates if candidate in owners), None)


def secrets_of_sites(config: Mapping[str, Any], at: Place) -> None:
    """Passwords and keys are secrets of the stack; certificates from elsewhere have to fit their site."""
    for name, site in entries(config, "sites").items():
        place = at.key(name)
        users = site.get("basicAuth")
        for user, secret in users.items() if isinstance(users, dict) else ():
            where = place.key("basicAuth").key(str(user))
            value = _secret(config, secret, where)
            if value is not None and len(value.encode("utf-8", "surrogatepass")) > _LONGEST_PASSWORD:
                where.report(f"has a password of over {_LONGEST_PASSWORD} bytes", "nobody would get in")
        own = site.get("certificate")
        if isinstance(own, dict):
            key = _secret(config, own.get("key"), place.key("certificate").key("key"))
            names = [name, *(other for other, _ in _other_names(site, place))]
            if key is not None and isinstance(own.get("chain"), str):
                own_certificates.check(own["chain"], key, names, place.key("certificate"))


def systems_of_sites(config: Mapping[str, Any], hosts: Mapping[str, str], at: Place) -> None:
    """Check what a site's host can do: its packages, and what stands in front of it.

    Args:
        config: the settings.
        hosts: the alias of the host that serves it, by site.
        at: the place of the sites.
    """
    raw = config.get("acme")
    profile = raw.get("profile") if isinstance(raw, dict) else None
    for name, site in entries(config, "sites").items():
        host = entries(config, "hosts").get(hosts[name], {})
        system, proxy = host.get("os"), host.get("proxy")
        behind = isinstance(proxy, dict) and proxy.get("trustedProxies")
        if (
            site.get("basicAuth")
            and site.get("certificate") is None
            and site.get("tls") == "none"
            and not behind
        ):
            at.key(name).key("basicAuth").report(
                "would send passwords that everybody on the way can read",
                "leave tls: none out, or name the proxy in front that speaks HTTPS under "
                f"{NAMESPACE}:hosts.{hosts[name]}.proxy.trustedProxies",
            )
        dialect = DIALECTS.get(system) if isinstance(system, str) else None
        if profile and dialect and by_acme(site) and not dialect.certificate_profiles:
            Place(f"{NAMESPACE}:acme", at.faults).key("profile").refuse(
                profile,
                f"needs certbot 4, and {hosts[name]}, which serves {name}, has {dialect.certbot} ({system})",
                "leave it out",
            )


def by_acme(site: Mapping[str, Any]) -> bool:
    """Tell whether an authority issues a site's certificate."""
    return site.get("certificate") is None and site.get("tls") in (None, "acme")


def _other_names(site: Mapping[str, Any], at: Place) -> Iterator[tuple[str, Place]]:
    for key in ("aliases", "redirectFrom"):
        names = site.get(key)
        for index, name in enumerate(names if isinstance(names, list) else ()):
            if isinstance(name, str):
                yield name, at.key(key).item(index)


def _secret(config: Mapping[str, Any], name: object, at: Place) -> str | None:
    """Give the value of a secret, or None after reporting that there is none of that name."""
    if not isinstance(name, str):
        return None
    raw = config.get("secrets")
    declared = raw if isinstance(raw, dict) else {}
    if name not in declared:
        how = f"`pulumi config set --secret --path {NAMESPACE}:secrets.{name}` asks for it"
        at.refuse(name, "is not a secret of this stack", closest(name, declared) if declared else how)
        return None
    value = declared[name]
    return value if isinstance(value, str) else None
