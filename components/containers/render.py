"""Render a container's health check and CPU limit for Docker."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portcullis.components.containers.args import ContainerArgs

_DECIMALS = 9
"""Docker counts CPUs in billionths, so a limit has at most nine decimals."""


def health_check(args: ContainerArgs) -> list[str]:
    """Return a container's health check.

    Raises:
        ValueError: the container has no health check. The checks of the arguments refuse such a container
            earlier.
    """
    if args.health_command is not None:
        return ["CMD", *args.health_command]
    if args.port is None:
        raise ValueError("a container needs a port or a health_command for its health check")
    return http_check(args.port, args.health) if args.health is not None else listens_check(args.port)


def http_check(port: int, path: str) -> list[str]:
    """Return a Docker health check that requests a path from the container's own loopback address.

    Images differ: Alpine and busybox have wget, many images have curl, others have Node or Python. The check
    uses the first of them that it finds. If the image has none of them, the check fails and says what to do.

    Raises:
        ValueError: the path is not safe between single quotes in a shell.
    """
    if not re.fullmatch(r"/[A-Za-z0-9._~/?=&%+,-]*", path):
        raise ValueError(f"the health check cannot request the path {path!r}; write a path such as /health")
    url = f"http://127.0.0.1:{port}{path}"
    # The tools stop after 3 s. The check's own timeout is 4 s, so Docker shows the message of the tool. wget
    # gets no timeout: busybox 1.37 of Debian 13 crashes with SIGSEGV if it gets -T.
    tries = [
        ("wget", f"exec wget -q -O /dev/null '{url}'"),
        ("curl", f"exec curl -fsS -m 3 -o /dev/null '{url}'"),
        (
            "node",
            (
                f'exec node -e \'require("http").get("{url}",{{timeout:3000}},'
                'r=>process.exit(r.statusCode<400?0:1)).on("error",()=>process.exit(1))\''
            ),
        ),
        ("python3", f"exec python3 -c 'import urllib.request as u;u.urlopen(\"{url}\",timeout=3)'"),
    ]
    branches = "; ".join(f"if command -v {tool} >/dev/null; then {run}; fi" for tool, run in tries)
    hint = "no wget, curl, node or python3 in this image: set healthCommand"
    return ["CMD-SHELL", f"{branches}; echo '{hint}'; exit 1"]


def listens_check(port: int) -> list[str]:
    """Return a Docker health check that succeeds when a program listens on a port of the container.

    The check reads the kernel's list of sockets, https://docs.kernel.org/networking/proc_net_tcp.html. In
    this list, 0A is the state LISTEN. The kernel writes the bytes of an IPv4 address in reverse, so an
    address that ends in 7F is loopback. Nobody outside the container reaches the loopback address. This
    health check needs a shell and grep in the image.
    """
    ipv4 = "[0-9A-F]{6}([0-689A-F][0-9A-F]|7[0-9A-E])"
    # Any IPv6 address, or an IPv4 address in the notation of an IPv6 socket.
    ipv6 = f"(0{{32}}|0{{16}}FFFF0000{ipv4})"
    listens = f"^ *[0-9]+: ({ipv4}|{ipv6}):{port:04X} [0-9A-F]+:0000 0A "
    return ["CMD-SHELL", f"grep -Eqs '{listens}' /proc/net/tcp /proc/net/tcp6"]


def spell_cpus(number: str | Decimal) -> str:
    """Spell a CPU limit exactly as Docker's provider reads it back.

    With any other spelling, the provider would replace the container at every `up`. The provider reads back 1
    as `1.0`, 0.50 as `0.5` and 10 as `10.`. The rule is `nanoInt64ToDecimalString` in
    kreuzwerker/terraform-provider-docker, 3.7.0 to 4.5.0, which pulumi-docker 5 wraps. That function counts
    all zeros of the text, although it should count only the zeros after the point. So it treats 0.050000000
    as a round number, and the provider reads back 0.05 as 0.1. For 0.05, no spelling works.

    Args:
        number: CPUs, a positive decimal number.

    Raises:
        ValueError: the number has more than nine decimals, or the provider reads it back as another number.
    """
    number = Decimal(number)
    text = f"{number:.{_DECIMALS}f}"
    if Decimal(text) != number:
        raise ValueError(f"the value has more than {_DECIMALS} decimals")
    if text.count("0") == _DECIMALS:
        text = f"{number.quantize(Decimal('0.1'), ROUND_HALF_UP):f}"
    else:
        text = text.rstrip("0")
    if Decimal(text) != number:
        raise ValueError(
            f"the value is read back as {text} by Docker's provider, so every `up` would replace the "
            "container"
        )
    return text
