"""Check that a site fits other sections: the authority, names, secrets, and the packages of its host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from portcullis.components.certificates import checks
from portcullis.components.nginx.args import NO_SITES
from portcullis.config.faults import NAMESPACE
from portcullis.config.secret import HasSecrets, named_secret
from portcullis.dialect import DIALECTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from portcullis.config.faults import SettingPath
    from portcullis.config.secret import Secret
    from portcullis.config.section import Written

_LONGEST_PASSWORD = 72  # bytes: bcrypt reads no more


@dataclass(frozen=True, slots=True)
class Server:
    """The host that serves a site.

    Attributes:
        alias: the host's alias.
        os: the host's operating system, or another value if the settings have a fault there.
        proxy: the host's `ReverseProxyArgs`, as written in the settings.
    """

    alias: str
    os: object
    proxy: Written


class Declared(HasSecrets, Protocol):
    """The sites as they were written, and the sections that they need."""

    @property
    def root(self) -> Written:
        """The section in which the key `acme` may stand."""

    @property
    def sites(self) -> Mapping[str, Written]:
        """The sites by host name."""

    def server_of(self, site: Written) -> Server | None:
        """Return the host that serves a site, or None where no declared host does."""


def sites(declared: Declared) -> None:
    """Report each site that does not fit other settings. `SiteArgs` reports the faults inside one site."""
    checks.authority(declared.root.section("acme"), declared)
    for check in (systems_of_hosts, challenges, names_of_sites, secrets_of_sites, systems_of_sites):
        check(declared)


def apps_of(site: Written) -> Iterator[tuple[str, SettingPath]]:
    """Yield the apps that a site names, each with its place in the settings."""
    named = [(site.get("app"), site.at.field("app"))]
    named += [(app, place) for _, app, place in site.items("paths")]
    yield from ((app, place) for app, place in named if isinstance(app, str))


def authorities(declared: Declared) -> None:
    """Require an authority, and the e-mail address of the account that accepts its terms of service."""
    acme = declared.root.section("acme")
    if "acme" in declared.root and "email" not in acme:
        acme.at.field("email").report("is missing", "write the account's address, such as ops@example.com")
    for site in declared.sites.values():
        if by_acme(site) and "acme" not in declared.root:
            site.at.report(
                "has no authority for its certificate",
                f"write {NAMESPACE}:acme: {{email: you@example.com}}, or set tls: internal or tls: none here",
            )


def challenges(declared: Declared) -> None:
    """Require a DNS provider for a site whose names are checked by DNS."""
    acme = declared.root.section("acme")
    for site in declared.sites.values():
        is_reported = declared.whole == "stack" and "acme" not in declared.root
        if by_acme(site) and site.get("challenge") == "dns" and "dns" not in acme and not is_reported:
            how = f"write {acme.at.field('dns')}: {{provider: …, credentials: …}}"
            site.at.field("challenge").refuse("dns", "needs a provider", how)


def names_of_sites(declared: Declared) -> None:
    """Refuse a name that two sites have. nginx would serve the first site, and only warn in its log."""
    sites = declared.sites
    first: dict[str, str] = dict.fromkeys(sites, "is a site of its own")
    for name, site in sites.items():
        for other, place in _other_names(site):
            if other == name:
                place.refuse(other, "is the site's own name", "leave it out")
            elif other in first:
                place.refuse(other, first[other], "a name can belong to one site only")
            first.setdefault(other, f"is a name of {name} already")
    owners = {other: name for name, site in sites.items() for other, _ in _other_names(site)}
    owners |= {name: name for name in sites}
    for name, site in sites.items():
        if _comes_back(name, sites, owners):
            target = site.get("redirect")
            how = "visitors would be redirected for ever"
            site.at.field("redirect").refuse(target, "leads back to this site", how)


def _comes_back(name: str, sites: Mapping[str, Written], owners: Mapping[str, str]) -> bool:
    """Tell whether redirects lead from a site back to itself, directly or through other sites."""
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
    """Return the host name of a URL, or None if the text is not a URL. Another check reports such a text."""
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _site_of(host: str, owners: Mapping[str, str]) -> str | None:
    """Return the site that nginx picks for a host name: by the exact name, or else the longest wildcard."""
    labels = host.split(".")
    candidates = [host, *(f"*.{'.'.join(labels[index:])}" for index in range(1, len(labels)))]
    return next((owners[candidate] for candidate in candidates if candidate in owners), None)


def secrets_of_sites(declared: Declared) -> None:
    """Check that passwords and keys are declared secrets, and that a user's own certificate fits its site."""
    for name, site in declared.sites.items():
        for _, secret, place in site.items("basic_auth"):
            if _bytes(named_secret(declared, secret, place)) > _LONGEST_PASSWORD:
                place.report(
                    f"has a password of more than {_LONGEST_PASSWORD} bytes",
                    "bcrypt reads no more, so nobody could log in; choose a shorter password",
                )
        if "certificate" in site:
            own = site.section("certificate")
            key = named_secret(declared, own.get("key"), own.at.field("key"))
            names = [name, *(other for other, _ in _other_names(site))]
            if key is not None and key.is_known and isinstance(own.get("chain"), str):
                from portcullis.components.certificates import own_certificates  # noqa: PLC0415 - slow, seldom needed

                own_certificates.check(own.get("chain"), key.reveal(), names, own.at)


def systems_of_hosts(declared: Declared) -> None:
    """Refuse a host whose nginx cannot keep sites apart from unknown host names."""
    for site in declared.sites.values():
        server = declared.server_of(site)
        if server and isinstance(server.os, str) and server.os in NO_SITES:
            site.at.report(
                f"cannot be served by {server.alias}, which runs {server.os}: {NO_SITES[server.os]}",
                "run its app on a host with a newer system",
            )


def systems_of_sites(declared: Declared) -> None:
    """Check that a site's host has the needed version of certbot, and that passwords travel encrypted."""
    acme = declared.root.section("acme")
    profile = acme.get("profile")
    for name, site in declared.sites.items():
        server = declared.server_of(site)
        if server is None:
            continue
        plain = site.get("certificate") is None and site.get("tls") == "none"
        if site.get("basic_auth") and plain and not server.proxy.get("trusted_proxies"):
            trusted = server.proxy.at.field("trusted_proxies")
            site.at.field("basic_auth").report(
                "would send passwords without encryption",
                f"leave tls: none out, or list the HTTPS proxy in front of the host under {trusted}",
            )
        dialect = DIALECTS.get(server.os) if isinstance(server.os, str) else None
        if profile and dialect and by_acme(site) and not dialect.certificate_profiles:
            acme.at.field("profile").refuse(
                profile,
                f"needs certbot 4, and {server.alias}, which serves {name}, has {dialect.certbot} "
                f"({server.os})",
                "leave it out",
            )


def by_acme(site: Written) -> bool:
    """Tell whether an ACME authority issues a site's certificate."""
    return site.get("certificate") is None and site.get("tls") in (None, "acme")


def _other_names(site: Written) -> Iterator[tuple[str, SettingPath]]:
    for field in ("aliases", "redirect_from"):
        yield from ((name, place) for name, place in site.elements(field) if isinstance(name, str))


def _bytes(password: Secret | None) -> int:
    """Return the length of a password in bytes, or 0 if the password is not known yet."""
    known = password is not None and password.is_known
    return len(password.reveal().encode("utf-8", "surrogatepass")) if password and known else 0
