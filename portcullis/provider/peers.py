"""Refuses callers of the plugin that another user of the machine has started.

Every user of a machine reaches its loopback address, and a call of `Create` acts as root on a host.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from collections.abc import Callable

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_HOST, _OPEN = "127.0.0.1", "01"  # the state of an open connection
_REFUSED = "the plugin of Portcullis serves only the user who started it"


class OwnUser(grpc.ServerInterceptor):  # type: ignore[misc]
    """Serves callers with this process's own uid.

    Linux tells whose a connection is. Other systems do not, and there every caller is served.

    Attributes:
        port: the port of the plugin.
    """

    port = 0

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        """Return a handler that looks at the caller before each call."""
        handler = continuation(details)
        if handler is None or handler.unary_unary is None:
            return None  # the engine calls no method with a stream

        def guarded(request: Any, context: grpc.ServicerContext) -> Any:
            if sys.platform == "linux" and uid_of(context.peer(), self.port, _table()) != os.geteuid():
                context.abort(grpc.StatusCode.PERMISSION_DENIED, _REFUSED)
            return handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(
            guarded, handler.request_deserializer, handler.response_serializer
        )


def _table() -> str:
    return "".join(path.read_text() for path in _TABLES if path.exists())


def uid_of(peer: str, port: int, table: str) -> int | None:
    """Return the uid of a connection's caller, or None if the table does not have the connection.

    Another user may have a connection from the same port to somewhere else. So both ends count.

    Args:
        peer: the caller as gRPC names it, such as "ipv4:127.0.0.1:40000".
        port: the port of 127.0.0.1 to which the caller is connected.
        table: the text of /proc/net/tcp and /proc/net/tcp6: proc_pid_net(5). A caller's IPv6 socket has the
            address ::ffff:127.0.0.1 there.
    """
    _, address, own = peer.split(":")
    caller, plugin = (
        f"{_word(socket.inet_aton(host))}:{int(each):04X}" for host, each in ((address, own), (_HOST, port))
    )
    mapped = _word(bytes(4)) * 2 + _word(bytes((0, 0, 255, 255)))
    for line in table.splitlines():
        fields = line.split()
        if fields[1:4] in ([caller, plugin, _OPEN], [mapped + caller, mapped + plugin, _OPEN]):
            return int(fields[7])
    return None


def _word(part: bytes) -> str:
    """Spell four bytes of an address as the kernel does: as a number of this machine's byte order."""
    return f"{int.from_bytes(part, sys.byteorder):08X}"
