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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, Iterator
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
    """A token to request under a name, at one of the name's addresses."""

    domain: str
    address: str
    name: str
    text: str


LookUp = Callable[[str], "tuple[list[str], list[str]]"]


@dataclass(frozen=True)
class Web:
    """How to look names up, which port to ask, and whether loopback counts. Tests use other values."""

    look_up: LookUp = lambda name: dns_lookup.addresses(name, dns_lookup.servers())
    port: int = 80
    loopback: bool = False


def check(domains: Sequence[str], webroot: Path, web: Web) -> list[str]:
    """Fetch a token under every name. Return the addresses that this host cannot check.

    Raises:
        AgentError: ``precheck``, with every name and address that fails, and why.
    """
    with _token(webroot) as (name, text), ThreadPoolExecutor(_AT_ONCE) as pool:
        found = list(pool.map(lambda domain: _look_up(domain, web), domains))
        asked = [(domain, address) for domain, (addresses, _) in zip(domains, found) for address in addresses]
        said = list(pool.map(lambda pair: _patiently(Question(pair[0], pair[1], name, text), web), asked))
    faults = {domain: [fault] if fault else [] for domain, (_, fault) in zip(domains, found)}
    untried = []
    for (domain, address), answer in zip(asked, said):
        if isinstance(answer, _Unreachable):
            untried.append(f"{domain} at {address}: {answer}")
        elif answer:
            faults[domain].append(f"{address}: {answer}")
    wrong = {domain: lines for domain, lines in faults.items() if lines}
    if wrong:
        raise AgentError(
            "precheck",
            f"the authority was not asked, because requests for {_names(list(wrong))} do not reach this host",
            prop="domains",
            hint="point all A and AAAA records of each name to this host, and open port 80; if this host "
            "cannot reach its own public address, precheck: false asks the authority all the same",
            detail="\n".join(
                [f"{domain}: {line}" for domain, lines in wrong.items() for line in lines]
                + [f"(not checked) {line}" for line in untried]
            ),
        )
    return untried


class _Unreachable(str):
    """Why only this host cannot reach an address, such as an IPv6 one. It is not a fault of the name."""

    __slots__ = ()


def _names(domains: Sequence[str]) -> str:
    return domains[0] if len(domains) == 1 else f"{len(domains)} names"


@contextlib.contextmanager
def _token(webroot: Path) -> Iterator[tuple[str, str]]:
    """Make a file like those that an authority requests, where the server finds it; remove it afterwards."""
    if not webroot.is_dir():
        raise AgentError(
            "invalid",
            f"there is no folder {webroot} on the host",
            prop="webroot",
            hint="declare it as a Directory, and a server that answers /.well-known/acme-challenge/ from it",
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
    """Return the addresses of a name to ask, and what is wrong with its records."""
    try:
        v4, v6 = web.look_up(domain)
    except dns_lookup.LookupFailed as error:
        return [], f"the DNS lookup failed ({error})"
    if not v4 and not v6:
        return [], "DNS has no address for it; create an A record (and AAAA, if the host has IPv6)"
    return [*v4, *v6], ""


def _patiently(question: Question, web: Web) -> str:
    """Ask several times: a web server confirms a reload before its new workers have taken over."""
    deadline = time.monotonic() + _MOMENT
    while True:
        fault = _fetch(question, web)
        if not fault or isinstance(fault, _Unreachable) or time.monotonic() > deadline:
            return fault
        time.sleep(0.3)


def _fetch(question: Question, web: Web) -> str:
    """Return what is wrong with the answer, or ""."""
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
    """Return where a redirect leads if the token cannot be there, or "" if it can."""
    try:
        location.encode("ascii")
        target = urlsplit(location)
    except ValueError:  # such as http://[
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
    if isinstance(error, socket.timeout):
        return f"nothing answers on port {port} within {_TIMEOUT:.0f} s; does a firewall block it?"
    why = error.strerror or type(error).__name__
    return f"nothing answers on port {port} ({why})"
