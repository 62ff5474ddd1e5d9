"""Parts of the definitions of stores' containers."""

from __future__ import annotations


def listens(port: int) -> str:
    """Return a pattern of grep for the kernel's list of sockets: a server listens at a port of every address.

    0A is LISTEN, and zeros are every address. At the first start, images run a temporary server, which
    listens on 127.0.0.1 or on a socket only, and so does not match.
    """
    return f"^ *[0-9]+: (0{{8}}|0{{32}}):{port:04X} (0{{8}}|0{{32}}):0000 0A "
