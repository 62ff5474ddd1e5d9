"""A site as a program declares it, with what is only known once other resources are there."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import bcrypt
import pulumi

from portcullis.components.nginx import render as nginx
from portcullis.components.nginx.args import AuthUser, PathPrefix, SiteAlias, Url
from portcullis.config.arguments import validate
from portcullis.config.forms import ServerName
from portcullis.config.kinds import ListOf, valid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.dialect import Dialect

# 2^6 rounds, some 3 ms: nginx checks the password with every request, and does nothing else meanwhile.
_ROUNDS = 6
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BCRYPT64 = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True, slots=True)
class ProxiedApp:
    """Where an app answers, and what to wait for before sending anybody there.

    Attributes:
        address: IP address that its container is published on.
        port: port there; an output where the host chooses it.
        ready: what has to be there first.
    """

    address: str
    port: pulumi.Input[int]
    ready: tuple[pulumi.Resource, ...] = ()


@dataclass(frozen=True, slots=True)
class OwnKeyPair:
    """A certificate from elsewhere, in PEM: `chain` begins with the site's own, `key` is a secret."""

    chain: pulumi.Input[str]
    key: pulumi.Input[str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ProxiedSite:
    """What one host name serves: apps, files, or a redirect.

    Attributes:
        apps: apps by the beginning of the path that they answer: "/" for all of it, "/api/" for a part.
        root: local folder of files, relative to the project, that answer where no app does; or None.
        spa: the files are a single-page application: a path that is no file gives index.html.
        redirect: an origin that every visitor is sent to, or a whole URL.
        aliases: other names that serve the same.
        redirect_from: other names, whose visitors are sent to this one.
        tls: where its certificate comes from: an authority by ACME, the stack's own, a pair from elsewhere;
            "none" is plain HTTP.
        challenge: how an authority is shown that the names are ours.
        passwords: of users who may come, by their names; none asks for none.
        more: everything else that a site can say, as `portcullis.components.nginx.render.Site` has it.

    Raises:
        ValueError: naming what cannot be used.
    """

    apps: Mapping[str, ProxiedApp] = field(default_factory=dict)
    root: str | None = None
    spa: bool = False
    redirect: str = ""
    aliases: tuple[str, ...] = ()
    redirect_from: tuple[str, ...] = ()
    tls: Literal["acme", "internal", "none"] | OwnKeyPair = "acme"
    challenge: Literal["http", "dns"] = "http"
    passwords: Mapping[str, pulumi.Input[str]] = field(default_factory=dict, repr=False)
    more: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check what would otherwise become a broken configuration file."""
        validate(
            self,
            {
                "apps": ListOf[PathPrefix],
                "aliases": ListOf[SiteAlias],
                "redirect_from": ListOf[ServerName],
                "passwords": ListOf[AuthUser],
            },
        )
        answers = [bool("/" in self.apps), self.root is not None, bool(self.redirect)]
        if answers.count(True) != 1:
            raise ValueError("ProxiedSite: needs an app for /, a root, or a redirect, one of the three")
        if self.redirect and valid(Url, self.redirect) is None:
            raise ValueError(f"ProxiedSite.redirect: {self.redirect!r} is not a URL")
        unknown = sorted(set(self.more) - _MORE)
        if unknown:
            raise ValueError(f"ProxiedSite.more: {', '.join(unknown)}: known are {', '.join(sorted(_MORE))}")

    def names(self, name: str) -> tuple[str, ...]:
        """Return every name that the certificate of the site `name` is for."""
        return (name, *self.aliases, *self.redirect_from)


_MORE = {
    *("cors", "websockets", "timeout", "websocket_timeout", "limits", "headers", "allow", "maintenance"),
    *("snippet", "access_log"),
}


def content(
    resource: str, name: str, site: ProxiedSite, pair: nginx.KeyPair | None, dialect: Dialect
) -> pulumi.Input[str]:
    """Render a site. Its text is known in a preview wherever the ports are."""

    def render(ports: Mapping[str, int]) -> str:
        settings = nginx.Site(
            name,
            {prefix: nginx.Upstream(site.apps[prefix].address, int(port)) for prefix, port in ports.items()},
            root=None if site.root is None else f"{nginx.FILES}/{name}",
            spa=site.spa,
            redirect=site.redirect,
            aliases=site.aliases,
            redirect_from=site.redirect_from,
            certificate=pair,
            passwords=passwords_path(name) if site.passwords else "",
            **site.more,
        )
        return nginx.site(resource, settings, dialect)

    ports = {prefix: app.port for prefix, app in site.apps.items()}
    chosen = {prefix: port for prefix, port in ports.items() if isinstance(port, int)}
    return render(chosen) if len(chosen) == len(ports) else pulumi.Output.all(**ports).apply(render)


def passwords_path(name: str) -> str:
    """Return the path of the file with a site's users."""
    return f"{nginx.PRIVATE}/{name}.htpasswd"


def passwords(name: str, users: Mapping[str, pulumi.Input[str]]) -> pulumi.Output[str]:
    """Return the file with users and hashes of their passwords, which is a secret like these."""
    place = f"{pulumi.get_project()}/{pulumi.get_stack()}/{name}"

    def render(found: Mapping[str, str]) -> str:
        return "".join(f"{user}:{_hash(found[user], f'{place}/{user}')}\n" for user in sorted(found))

    return pulumi.Output.secret(pulumi.Output.all(**users).apply(render))


def _hash(password: str, place: str) -> str:
    """Return the bcrypt hash of a password: the same text every time, or every preview would show a change.

    The salt is of the place. Two users of one password have two hashes, and no table made beforehand fits.
    """
    raw = hashlib.sha256(place.encode()).digest()[:16]
    salt = base64.b64encode(raw).rstrip(b"=").translate(bytes.maketrans(_BASE64, _BCRYPT64))
    return bcrypt.hashpw(password.encode(), b"$2b$%02d$" % _ROUNDS + salt).decode()
