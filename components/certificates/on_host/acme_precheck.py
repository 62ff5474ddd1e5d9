"""The check before certbot asks an authority: does every address of every name lead to this host?

The authority counts failed attempts (Let's Encrypt: five for a name in an hour), so a forgotten AAAA record
is expensive. So we do what the authority will do: look the name up in DNS, and fetch a token from port 80.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import ipaddress
import secrets
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from portcullis.agent.errors import AgentError
from portcullis.components.certificates.on_host import challenge_folder, dns_lookup
from portcullis.components.certificates.on_host.challenge_folder import FOLDER

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_TIMEOUT = 8.0  # seconds for a fetch; Let's Encrypt waits ten
_AT_ONCE = 16
_REDIRECTS = 3
_MOMENT = 3.0  # seconds that a server gets to load a new configuration
_SHOWN = 60
_SECURE = 443
_REDIRECT = (301, 302, 303, 307, 308)


@dataclass(frozen=True)
class Question:
    """A request for a token: a host name, one of its addresses, and the token's file name and text."""

    domain: str
    address: str
    name: str
    text: str


LookUp = Callable[[str], "tuple[list[str], list[str]]"]


@dataclass(frozen=True)
class Web:
    """How the check looks names up, which port it asks, and whether it accepts a loopback address.

    Tests replace these values.
    """

    look_up: LookUp = lambda name: dns_lookup.addresses(name, dns_lookup.servers())
    port: int = 80
    loopback: bool = False


def check(domains: Sequence[str], webroot: Path, web: Web) -> list[str]:
    """Fetch a token from every name. Return the addresses that this host cannot check.

    Raises:
        AgentError: a request failed (code ``precheck``). The error lists every name and address that fails,
            with the cause.
    """
    with _token(webroot) as (name, text), ThreadPoolExecutor(_AT_ONCE) as pool:
        found = list(pool.map(lambda domain: _look_up(domain, web), domains))
        asked = [
            (domain, address)
            for domain, (addresses, _) in zip(domains, found, strict=True)
            for address in addresses
        ]
        said = list(pool.map(lambda pair: _patiently(Question(pair[0], pair[1], name, text), web), asked))
    faults = {domain: [fault] if fault else [] for domain, (_, fault) in zip(domains, found, strict=True)}
    untried = []
    for (domain, address), answer in zip(asked, said, strict=True):
        if isinstance(answer, _Unreachable):
            untried.append(f"{domain} at {address}: {answer}")
        elif answer:
            faults[domain].append(f"{address}: {answer}")
    wrong = {domain: lines for domain, lines in faults.items() if lines}
    if wrong:
        raise AgentError(
            "precheck",
            f"no certificate was requested: requests for {_names(list(wrong))} do not reach this host",
            prop="domains",
            hint="point all A and AAAA records of each name to this host, and open port 80; precheck: false "
            "skips this check, for a host that cannot reach its own public address",
            detail="\n".join(
                [f"{domain}: {line}" for domain, lines in wrong.items() for line in lines]
                + [f"(not checked) {line}" for line in untried]
            ),
        )
    return untried


class _Unreachable(str):
    """The reason why this host cannot check an address that the authority may still reach.

    For example, a host without IPv6 cannot check an IPv6 address. In such a case, the name is not at fault.
    """

    __slots__ = ()


def _names(domains: Sequence[str]) -> str:
    return domains[0] if len(domains) == 1 else f"{len(domains)} names"


@contextlib.contextmanager
def _token(webroot: Path) -> Iterator[tuple[str, str]]:
    """Write a token file to the folder from which the server answers an authority.

    Remove the token file afterwards.
    """
    if not webroot.is_dir():
        raise AgentError(
            "invalid",
            f"there is no folder {webroot} on the host",
            prop="webroot",
            hint="declare this folder, and a web server that serves /.well-known/acme-challenge/ from it",
        )
    name, text = f"portcullis-{secrets.token_hex(8)}", secrets.token_hex(16)
    with challenge_folder.kept(webroot) as folder:
        file = folder / name
        try:
            file.write_text(text)
            file.chmod(0o644)
            yield name, text
        except OSError as error:
            raise challenge_folder.refusal(webroot, error) from None
        finally:
            file.unlink(missing_ok=True)


def _look_up(domain: str, web: Web) -> tuple[list[str], str]:
    """Return the addresses of a name, and the fault of its DNS records ("" if there is none)."""
    try:
        v4, v6 = web.look_up(domain)
    except dns_lookup.LookupFailed as error:
        return [], f"the DNS lookup failed ({error})"
    if not v4 and not v6:
        return [], "DNS has no address for this name; create an A record (and AAAA, if the host has IPv6)"
    return [*v4, *v6], ""


def _patiently(question: Question, web: Web) -> str:
    """Repeat the request for some seconds: a web server confirms a reload before its new workers serve."""
    deadline = time.monotonic() + _MOMENT
    while True:
        fault = _fetch(question, web)
        if not fault or isinstance(fault, _Unreachable) or time.monotonic() > deadline:
            return fault
        time.sleep(0.3)


def _fetch(question: Question, web: Web) -> str:
    """Fetch the token, and return what is wrong with the answer; "" if the answer is right."""
    where = ipaddress.ip_address(question.address)
    if (where.is_loopback and not web.loopback) or where.is_unspecified:
        # A resolver that reads /etc/hosts gives this address for the host's own name.
        return "this host's resolver answers with the host itself, which does not show what others see in DNS"
    place, secure, port = f"/{FOLDER}/{question.name}", False, web.port
    for _ in range(_REDIRECTS):
        try:
            status, location, body = _get(question, place, port, secure=secure)
        except OSError as error:
            return _silence(error, question.address, port)
        except http.client.HTTPException:
            return f"the server on port {port} closes the connection, or does not speak HTTP"
        if status not in _REDIRECT or not location:
            return _judge(status, body, question.text, port)
        fault = _astray(location, question.domain)
        if fault:
            return f"port {port} redirects to {fault}"
        target = urlsplit(location)
        secure = target.scheme == "https" if target.netloc else secure
        place, port = target.path or "/", _SECURE if secure else web.port
    return f"port {port} redirects too often"


def _astray(location: str, domain: str) -> str:
    """Return the target of a redirect to another host name, or "" for a redirect to the same host name."""
    try:
        location.encode("ascii")
        target = urlsplit(location)
    except ValueError:  # for example http://[
        return "an invalid address"
    return f"another name, {location[:_SHOWN]}" if target.netloc and target.hostname != domain else ""


def _judge(status: int, body: bytes, text: str, port: int) -> str:
    if body.strip() == text.encode():
        return ""
    if status == http.client.OK:
        return f"port {port} answers without our token; is that another machine?"
    return f"port {port} answers {status}; is that another machine, or another server on this one?"


def _get(question: Question, place: str, port: int, *, secure: bool) -> tuple[int, str, bytes]:
    line: socket.socket = socket.create_connection((question.address, port), timeout=_TIMEOUT)
    try:
        if secure:
            # Like the authority, accept any certificate: the target of a redirect may not have one yet.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            line = context.wrap_socket(line, server_hostname=question.domain)
        connection = http.client.HTTPConnection(question.domain, timeout=_TIMEOUT)
        connection.sock = line
        connection.request("GET", place, headers={"Connection": "close"})
        answer = connection.getresponse()
        return answer.status, answer.getheader("Location", ""), answer.read(4096)
    finally:
        line.close()


def _silence(error: OSError, address: str, port: int) -> str:
    if error.errno in (errno.ENETUNREACH, errno.EADDRNOTAVAIL):
        family = "IPv6" if ":" in address else "IPv4"
        return _Unreachable(f"this host has no {family}, so it cannot check that record")
    if isinstance(error, TimeoutError):
        return f"nothing answers on port {port} within {_TIMEOUT:.0f} s; does a firewall block it?"
    why = error.strerror or type(error).__name__
    return f"nothing answers on port {port} ({why})"
