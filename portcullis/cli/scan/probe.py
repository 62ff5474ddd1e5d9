"""Answer a question about a host by a scan from this machine or another machine.

Question and answer are JSON. Only the addresses of the question are scanned. With raw packets, the scan does
not connect to the SSH port. fail2ban counts each connection without a login, and would ban a user after a few
scans. Without raw packets, the scan connects to the SSH port once.
"""

from __future__ import annotations

import json
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from portcullis.cli.scan import certificates, connect, greetings, syn

Json = dict[str, Any]

GREETED = 40
"""If an address has at most this many open ports, each of them is asked for its protocol.

If more ports are open, only the SSH port is asked.
"""
_AT_ONCE = 16
_TRIES = 4
_HTTP, _HTTPS = 80, 443


def answer(question: Json) -> Json:
    """Scan the addresses of a question, and return the answers.

    These are the keys of a question.

    - `addresses`: the addresses to scan; a host name is resolved by this function.
    - `families`: 4, 6 or both.
    - `ports`: the ports to scan, as ranges `[first, last]`.
    - `ssh`: the port of the SSH server.
    - `sites`: the host names that should have a certificate.
    - `page`: a host name for a request to port 80.
    - `roots`: further root certificates to trust, in PEM.
    - `method`: how to scan: `syn`, `connect` or `auto`.
    - `rate` and `settle`: the arguments of `syn.ask`.

    These are the keys of the result.

    - `from`: the name of the scanning machine.
    - `method`: how the machine scanned: `syn` or `connect`.
    - `unresolved`: the host names without an address.
    - `addresses`: a map of each scanned address to its results.

    These are the keys of the results of one address.

    - `source`: our own address on the route to the scanned address; None without a route.
    - `open`, `refused` and `silent`: the ports that accept, that refuse, and that do not answer.
    - `greetings`: what each open port answered, by port.
    - `certificates`: the certificate that each site showed, by host name.

    Args:
        question: what to scan, and how.

    Returns:
        The results of the scan, as JSON values.
    """
    method = question["method"]
    if method == "auto":
        method = "syn" if syn.possible() else "connect"
    addresses, unresolved = _resolved(question)
    ports = [port for first, last in question["ports"] for port in range(first, last + 1)]
    with ThreadPoolExecutor(max(1, len(addresses))) as pool:
        asked = [pool.submit(_address, question, address, ports, method) for address in addresses]
        found = {address: each.result() for address, each in zip(addresses, asked, strict=True)}
    return {"from": socket.gethostname(), "method": method, "unresolved": unresolved, "addresses": found}


def _resolved(question: Json) -> tuple[list[str], list[str]]:
    families = {4: socket.AF_INET, 6: socket.AF_INET6}
    wanted = {families[number] for number in question["families"]}
    addresses: list[str] = []
    unresolved = []
    for name in question["addresses"]:
        try:
            found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except OSError:
            unresolved.append(name)
            continue
        for family, _, _, _, where in found:
            if family in wanted and where[0] not in addresses:
                addresses.append(str(where[0]))
    return addresses, unresolved


def _address(question: Json, address: str, ports: list[int], method: str) -> Json:
    source = syn.source_of(address)
    if source is None:
        return {
            "source": None,
            "open": [],
            "refused": 0,
            "silent": len(ports),
            "greetings": {},
            "certificates": {},
        }
    ssh = question["ssh"]
    answered: dict[int, bool] = {}
    greeted: dict[int, greetings.Greeting] = {}
    settle = question.get("settle", syn.SETTLE)
    if ssh in ports and method == "syn":
        # The SSH port is asked first and alone, and again if no answer comes. Then both machines know the
        # route before thousands of packets follow, which are not repeated.
        for _ in range(_TRIES):
            answered.update(syn.ask(address, [ssh], rate=question["rate"], settle=settle))
            if answered:
                break
    elif ssh in ports:
        try:
            greeted[ssh] = greetings.banner(address, ssh)
            answered[ssh] = True
        except ConnectionRefusedError:
            answered[ssh] = False
        except OSError:
            pass  # the port gave no answer
    rest = [port for port in ports if port != ssh]
    if method == "syn":
        answered.update(syn.ask(address, rest, rate=question["rate"], settle=settle))
    else:
        answered.update(connect.ask(address, rest))
    opened = sorted(port for port, is_open in answered.items() if is_open)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        if len(opened) <= GREETED:
            rest = [port for port in opened if port != ssh]
            greeted.update(
                zip(rest, pool.map(lambda port: _greet(question, address, port), rest), strict=True)
            )
        sites = question["sites"] if _HTTPS in opened else []
        roots = question["roots"]
        shown = zip(
            sites, pool.map(lambda name: certificates.shown(address, _HTTPS, name, roots), sites), strict=True
        )
        certified = {name: each.json() for name, each in shown}
    return {
        "source": source,
        "open": opened,
        "refused": len(answered) - len(opened),
        "silent": len(ports) - len(answered),
        "greetings": {str(port): greeting.json() for port, greeting in sorted(greeted.items())},
        "certificates": certified,
    }


def _greet(question: Json, address: str, port: int) -> greetings.Greeting:
    if port not in (_HTTP, _HTTPS) or not question["page"]:
        return greetings.greet(address, port)
    # This is our own nginx, asked for a site's name as by a browser. nginx logs one request and bans nobody.
    if port == _HTTP:
        try:
            return greetings.http(address, port, question["page"])
        except OSError as error:
            return greetings.Greeting("", str(error))
    return greetings.Greeting("tls")


def main() -> None:
    """Answer the question on standard input."""
    json.dump(answer(json.load(sys.stdin)), sys.stdout)


if __name__ == "__main__":
    main()
