"""Render a container's health check and CPU limit for Docker."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portcullis.components.containers.args import ContainerArgs

_DECIMALS = 9
"""Docker counts billionths of a CPU."""


def health_check(args: ContainerArgs) -> list[str]:
    """Return a container's health check.

    Raises:
        ValueError: it has no health check. The arguments refuse that earlier.
    """
    if args.health_command is not None:
        return ["CMD", *args.health_command]
    if args.port is None:
        raise ValueError("a container needs a port or a health_command")
    return http_check(args.port, args.health) if args.health is not None else listens_check(args.port)


def http_check(port: int, path: str) -> list[str]:
    """Return a Docker health check that requests a path from the container's own loopback address.

    Images differ: Alpine and busybox have wget, many images have curl, others have Node or Python. The check
    uses the first of them that it finds. If there is none, the check fails and says what to do.

    Raises:
        ValueError: the path is not safe between single quotes in a shell.
    """
    if not re.fullmatch(r"/[A-Za-z0-9._~/?=&%+,-]*", path):
        raise ValueError(f"{path!r} is not a path that a health check can request")
    url = f"http://127.0.0.1:{port}{path}"
    # 3 s is below the check's own timeout of 4 s, so Docker shows the message of the tool. wget gets no
    # timeout: busybox 1.37 of Debian 13 crashes with SIGSEGV if it gets -T.
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
    """Return a Docker health check that succeeds when something listens on a port of the container.

    It reads the kernel's list of sockets, https://docs.kernel.org/networking/proc_net_tcp.html. 0A is the
    state LISTEN. The kernel writes the bytes of an IPv4 address in reverse, so an address that ends in 7F is
    loopback. Nothing outside the container reaches loopback. The image needs a shell and grep.
    """
    ipv4 = "[0-9A-F]{6}([0-689A-F][0-9A-F]|7[0-9A-E])"
    # Any IPv6 address, or an IPv4 address as an IPv6 socket has it.
    ipv6 = f"(0{{32}}|0{{16}}FFFF0000{ipv4})"
    listens = f"^ *[0-9]+: ({ipv4}|{ipv6}):{port:04X} [0-9A-F]+:0000 0A "
    return ["CMD-SHELL", f"grep -Eqs '{listens}' /proc/net/tcp /proc/net/tcp6"]


def spell_cpus(number: str | Decimal) -> str:
    """Spell a CPU limit exactly as Docker's provider reads it back. Any other text replaces the container.

    1 is `1.0`, 0.50 is `0.5` and 10 is `10.`. The rule is `nanoInt64ToDecimalString` in
    kreuzwerker/terraform-provider-docker, 3.7.0 to 4.5.0, which pulumi-docker 5 wraps. It counts the zeros of
    the whole text, although it should count those after the point. So it treats 0.050000000 as a round number
    and reads it back as 0.1. No spelling of 0.05 reads back as 0.05.

    Args:
        number: CPUs, a positive decimal number.

    Raises:
        ValueError: it has more than nine decimals, or the provider reads it back as another number.
    """
    number = Decimal(number)
    text = f"{number:.{_DECIMALS}f}"
    if Decimal(text) != number:
        raise ValueError(f"has more than {_DECIMALS} decimals")
    if text.count("0") == _DECIMALS:
        text = f"{number.quantize(Decimal('0.1'), ROUND_HALF_UP):f}"
    else:
        text = text.rstrip("0")
    if Decimal(text) != number:
        raise ValueError(
            f"is read back as {text} by Docker's provider, which would replace the container at every `up`"
        )
    return text
