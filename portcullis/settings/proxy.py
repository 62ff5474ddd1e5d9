"""The keys of a host's proxy: what holds for all its sites."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from portcullis.components.nginx import render as nginx
from portcullis.settings import forms
from portcullis.settings.kinds import Choice, Field, Flag, ListOf, Section

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.settings.faults import Place


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """What is particular about a host's nginx."""

    tls: Literal["intermediate", "modern"]
    trusted_proxies: tuple[str, ...]
    real_ip_header: str
    access_log: Literal["combined", "json", "off"]
    brotli: bool


def _proxy(raw: Mapping[str, Any], at: Place) -> None:
    proxies = raw.get("trustedProxies")
    if raw.get("realIpHeader") is not None and not proxies:
        at.key("realIpHeader").report("is nobody's word without trustedProxies", "name who is trusted")
    for index, text in enumerate(proxies if isinstance(proxies, list) else ()):
        if str(text).endswith("/0"):
            at.key("trustedProxies").item(index).refuse(
                text, "is everybody", "anybody could then say who they are"
            )


PROXY = Section(
    "a proxy",
    ProxySettings,
    (
        Field(
            "tls",
            Choice(
                "a profile of Mozilla's", tuple(nginx.PROFILES), {"old": "guideline 6.0 has taken it out"}
            ),
            "Mozilla's profile of TLS for all sites: `intermediate`, or `modern`, which is TLS 1.3 only",
            "intermediate",
        ),
        Field(
            "trustedProxies",
            ListOf(forms.NETWORK),
            "networks of proxies in front of this host, such as a CDN's, whose word for who the client is "
            "counts",
            (),
        ),
        Field(
            "realIpHeader",
            Choice("a header with the client's address", nginx.REAL_IP_HEADERS, {}),
            "the header that has it; `CF-Connecting-IP` from Cloudflare",
            "X-Forwarded-For",
        ),
        Field(
            "accessLog",
            Choice("a form of access logs", ("combined", "json", "off"), {}),
            "`combined`, one JSON object a line, or `off`; errors are logged always",
            "combined",
        ),
        Field("brotli", Flag(), "compress with Brotli too, by Debian's modules for nginx", default=False),
    ),
    _proxy,
)
