"""The ports that the settings of a host declare as open. Only `add_declared` does I/O."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.components.firewall.args import RuleArgs
    from portcullis.components.host.args import HardenedHostArgs
    from portcullis.components.nginx.args import SiteArgs

LAST_PORT = 65535
_HTTP, _HTTPS = 80, 443


@dataclass(frozen=True)
class Opening:
    """A range of ports that are declared open.

    Attributes:
        first: the first port.
        last: the last port; for a single port the same as `first`.
        why: the purpose of the ports, as a text for people.
        place: the path of the setting that opens the ports.
        sources: the addresses and networks that may connect; empty means everybody.
        answers: the addresses of the host at which a scan must find the port open: `every` address, `any` one
            address, or `none`. With `none`, the port may be open or closed. The value is `none` for a range
            of ports, and for a port that only `sources` may reach.
    """

    first: int
    last: int
    why: str
    place: str
    sources: tuple[str, ...] = ()
    answers: str = "every"

    def covers(self, port: int) -> bool:
        """Return whether a port is in this range."""
        return self.first <= port <= self.last


@dataclass(frozen=True)
class Declared:
    """The declared ports, sites and certificates of one host, which a scan from outside must find.

    Attributes:
        host: the host's alias.
        addresses: the addresses or host names to scan, as in the settings; empty if one of them is an output.
        ssh: the port of the host's SSH server.
        openings: the open ports of the host.
        sites: the host names of sites with a certificate.
        page: a host name to request on port 80; "" if the host has no site.
        authority: the signer of each certificate, by host name: `public` if browsers trust it, otherwise the
            reason why they do not.
    """

    host: str
    addresses: tuple[str, ...]
    ssh: int
    openings: tuple[Opening, ...]
    sites: tuple[str, ...] = ()
    page: str = ""
    authority: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> dict[str, Any]:
        """Return the declaration as JSON values."""
        return asdict(self)

    def without_addresses(self) -> str:
        """Return the declaration as one text for Pulumi's state, which must not contain addresses."""
        return json.dumps({**self.json(), "addresses": []}, sort_keys=True)

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Declared:
        """Rebuild the declaration from JSON values."""
        openings = tuple(
            Opening(**{**opening, "sources": tuple(opening["sources"])}) for opening in found["openings"]
        )
        texts = {key: tuple(found[key]) for key in ("addresses", "sites")}
        return cls(**{**found, **texts, "openings": openings, "authority": dict(found["authority"])})


_added: dict[Path, dict[str, Declared]] = {}
"""The hosts of the running program, by file and then by alias."""
PUBLIC = "public"
_NOT_PUBLIC = {
    "staging": "of Let's Encrypt's staging, which nobody trusts",
    "internal": "of this stack's own authority, whom only its people trust",
    "own": "from elsewhere",
}


def declared_path(stack: str) -> Path:
    """Return the file with the declared ports of a stack, relative to the project folder."""
    return Path(".portcullis") / stack / "declared.json"


def add_declared(host: Declared, stack: str) -> None:
    """Add one host of the running program to the file that scans from outside read.

    Git ignores the folder of this file.
    """
    path = declared_path(stack)
    hosts = _added.setdefault(path.absolute(), {})
    hosts[host.host] = host
    text = json.dumps([each.json() for each in hosts.values()], indent=2) + "\n"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        part = path.with_suffix(f".{os.getpid()}")
        part.write_text(text)
        part.replace(path)


def declared(alias: str, args: HardenedHostArgs) -> Declared:
    """Return everything that a host must answer."""
    authority = {
        name: _authority(args, site)
        for site_name, site in args.sites.items()
        if not site.plain
        for name in _names(site_name, site)
    }
    return Declared(
        host=alias,
        addresses=(args.address, *([args.address_v6] if args.address_v6 else [])),
        ssh=args.port,
        openings=tuple(_openings(alias, args)),
        sites=tuple(authority),
        page=next(iter(args.sites), ""),
        authority=authority,
    )


def _names(name: str, site: SiteArgs) -> list[str]:
    return [each for each in (name, *site.aliases, *site.redirect_from) if not each.startswith("*")]


def _authority(args: HardenedHostArgs, site: SiteArgs) -> str:
    if site.certificate is not None:
        return _NOT_PUBLIC["own"]
    if site.tls == "internal":
        return _NOT_PUBLIC["internal"]
    server = args.acme.server if args.acme else "production"
    if server == "production":
        return PUBLIC
    return _NOT_PUBLIC.get(server, "of an authority that the settings name")


def _openings(alias: str, args: HardenedHostArgs) -> list[Opening]:
    sites = args.sites
    at = f"portcullis:hosts.{alias}"
    found = [Opening(args.port, args.port, "SSH", f"{at}.port")]
    if sites:
        encrypted = [name for name, site in sites.items() if not site.plain]
        found.append(Opening(_HTTP, _HTTP, _sites(list(sites)), "portcullis:sites"))
        answers = "every" if encrypted else "none"
        found.append(Opening(_HTTPS, _HTTPS, _sites(encrypted), "portcullis:sites", (), answers))
    for key, rules in (("allow", args.firewall.allow), ("public", args.firewall.public)):
        found += [
            opening
            for port, rule in rules.items()
            if (opening := _opening(f"{at}.firewall.{key}", port, rule)) is not None
        ]
    return found


def _sites(names: list[str]) -> str:
    if not names:
        return "nginx"
    return f"nginx: {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _opening(at: str, text: str, rule: RuleArgs) -> Opening | None:
    """Return the opening that one firewall rule declares.

    UDP ports are not scanned, because most UDP services answer only their own protocol.
    """
    ports, _, protocol = text.partition("/")
    if protocol != "tcp":
        return None
    first, _, last = ports.partition(":")
    one = not last and not rule.from_
    what = "a container" if at.endswith("public") else "a program of the host"
    why = f"{what}, for {', '.join(rule.from_)}" if rule.from_ else what
    return Opening(
        int(first), int(last or first), why, f"{at}[{text}]", tuple(rule.from_), "any" if one else "none"
    )
