"""Before an authority is asked: does every name lead to this host, at each of its addresses?

The authority counts failed attempts (Let's Encrypt: five for a name in an hour), so a forgotten AAAA record
is dear. What it will do is done here first: look the name up in DNS, fetch a token from port 80.
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

_TIMEOUT = 8.0  # seconds of a fetch; Let's Encrypt waits ten
_AT_ONCE = 16
_REDIRECTS = 3
_MOMENT = 3.0  # seconds that a server has to take up the settings that it was just given
_SHOWN = 60
_SECURE = 443
_REDIRECT = (301, 302, 303, 307, 308)


@dataclass(frozen=True)
class Question:
    """A token to be asked for by a name, at one of its addresses."""

    domain: str
    address: str
    name: str
    text: str


LookUp = Callable[[str], "tuple[list[str], list[str]]"]


@dataclass(frozen=True)
class Web:
    """How names are looked up, the port that is asked, and whether loopback counts; tests have others."""

    look_up: LookUp = lambda name: dns_lookup.addresses(name, dns_lookup.servers())
    port: int = 80
    loopback: bool = False


def check(domains: Sequence[str], webroot: Path, web: Web) -> list[str]:
    """Fetch a token by every name; return what could not be tried from here.

    Raises:
        AgentError: ``precheck``, with every name and address and what is wrong there.
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
            f"the authority was not asked, because this host is not reached by {_names(list(wrong))}",
            prop="domains",
            hint="let each name's A and AAAA records lead here, and none elsewhere, and open port 80; "
            "precheck: false asks the authority all the same, for a host that cannot reach itself by its "
            "public address",
            detail="\n".join(
                [f"{domain}: {line}" for domain, lines in wrong.items() for line in lines]
                + [f"(not tried) {line}" for line in untried]
            ),
        )
    return untried


class _Unreachable(str):
    """What only this host cannot reach, such as IPv6 on a host that has none: it is no fault of the name."""

    __slots__ = ()


def _names(domains: Sequence[str]) -> str:
    return domains[0] if len(domains) == 1 else f"{len(domains)} names"


@contextlib.contextmanager
def _token(webroot: Path) -> Iterator[tuple[str, str]]:
    """A file as an authority would ask for, in a folder that the web server can enter; gone afterwards."""
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
    """The addresses of a name that are worth asking, and what is wrong with its records."""
    try:
        v4, v6 = web.look_up(domain)
    except dns_lookup.LookupFailed as error:
        return [], f"DNS could not be asked ({error})"
    if not v4 and not v6:
        return [], "DNS has no address for it; make an A record (and AAAA, where the host has IPv6)"
    return [*v4, *v6], ""


def _patiently(question: Question, web: Web) -> str:
    """Ask, and again: a web server answers a reload before its new workers have taken over."""
    deadline = time.monotonic() + _MOMENT
    while True:
        fault = _fetch(question, web)
        if not fault or isinstance(fault, _Unreachable) or time.monotonic() > deadline:
            return fault
        time.sleep(0.3)


def _fetch(question: Question, web: Web) -> str:
    """What is wrong with the answer, or ""."""
    where = ipaddress.ip_address(question.address)
    if (where.is_loopback and not web.loopback) or where.is_unspecified:
        # A resolver that reads /etc/hosts says so of the host's own name. It proves nothing about DNS.
        return "DNS as this host sees it leads to itself, which tells nothing about what others see"
    place, secure, port = f"/{FOLDER}/{question.name}", False, web.port
    for _ in range(_REDIRECTS):
        try:
            status, location, body = _get(question, place, port, secure=secure)
        except OSError as error:
            return _silence(error, question.address, port)
        except http.client.HTTPException:
            return f"port {port} closes the connection, or does not speak HTTP"
        if status not in _REDIRECT or not location:
            return _judge(status, body, question.text, port)
        fault = _astray(location, question.domain)
        if fault:
            return f"port {port} redirects to {fault}"
        target = urlsplit(location)
        secure = target.scheme == "https" if target.netloc else secure
        place, port = target.path or "/", _SECURE if secure else web.port
    return f"port {port} redirects again and again"


def _astray(location: str, domain: str) -> str:
    """Where a redirect leads, if that is no place to look for the token, and else ""."""
    try:
        location.encode("ascii")
        target = urlsplit(location)
    except ValueError:  # such as http://[
        return "what is no address"
    return f"{location[:_SHOWN]}, another name" if target.netloc and target.hostname != domain else ""


def _judge(status: int, body: bytes, text: str, port: int) -> str:
    if body.strip() == text.encode():
        return ""
    if status == http.client.OK:
        return f"port {port} answers with something else; is that another machine?"
    return f"port {port} answers with {status}; is that another machine, or another server on this one?"


def _get(question: Question, place: str, port: int, *, secure: bool) -> tuple[int, str, bytes]:
    line: socket.socket = socket.create_connection((question.address, port), timeout=_TIMEOUT)
    try:
        if secure:
            # As the authority does: what is behind a redirect need not have a certificate yet.
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
        return _Unreachable(f"this host has no {family}, so whether that record leads anywhere was not tried")
    if isinstance(error, socket.timeout):
        return f"nothing answers on port {port} within {_TIMEOUT:.0f} s; does a firewall stand before it?"
    why = error.strerror or type(error).__name__
    return f"nothing answers on port {port} ({why})"
