"""docker-py over the OpenSSH client: each HTTP connection is one `ssh HOST docker system dial-stdio`.

docker-py's own ssh transport passes no options, so it cannot use our ssh_config. Stdin and stdout of ssh are
one end of a socket pair. The other end is the socket of the HTTP connection. So ssh ends when the socket
closes, or when this process ends.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import subprocess
import tempfile
from typing import TYPE_CHECKING, Any

import urllib3
import urllib3.connection
from docker.transport.basehttpadapter import BaseHTTPAdapter

from lab.plugins.errors import PluginError

if TYPE_CHECKING:
    from typing import IO

    from lab.plugins.docker_plugin.host import SshHost

_CONNECTIONS = 4
_END_SECONDS = 2


class SshDockerConnection(urllib3.connection.HTTPConnection):
    """An HTTP connection over one ssh process."""

    def __init__(self, host: SshHost, timeout: float) -> None:
        """Store the address of the host. The first request starts ssh."""
        super().__init__("localhost", timeout=timeout)
        self._host = host
        self._timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None
        # No pipe: a ControlMaster that outlives the client would keep it open.
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the connection

    def connect(self) -> None:
        """Start ssh for this connection."""
        self._stderr.seek(0)
        self._stderr.truncate()
        ours, theirs = socket.socketpair()
        with theirs:
            end = theirs.fileno()
            self._process = subprocess.Popen(
                self._host.command, stdin=end, stdout=end, stderr=self._stderr, start_new_session=True
            )
        ours.settimeout(self._timeout)
        self.sock = ours

    def getresponse(self) -> urllib3.response.HTTPResponse:  # type: ignore[override] # as in urllib3
        """Return the response, or raise an error with the message of ssh.

        Raises:
            PluginError: ssh or the remote docker client failed.
        """
        try:
            return super().getresponse()
        except (http.client.RemoteDisconnected, ConnectionError, BrokenPipeError) as error:
            raise PluginError(self._why(error)) from error

    def send(self, data: Any) -> None:
        """Send the request, or raise an error with the message of ssh."""
        try:
            super().send(data)
        except (ConnectionError, BrokenPipeError) as error:
            raise PluginError(self._why(error)) from error

    def close(self) -> None:
        """Close the socket, and end ssh without waiting for the host.

        At its end the engine has 5 seconds for all its plugins, one after the other. Plugins whose turn comes
        later have, as it says, "exited prematurely".
        """
        super().close()
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _why(self, error: Exception) -> str:
        command = " ".join(self._host.command)
        if self._process is None:
            return f"error during connect: command [{command}]: {error}"
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
        self._stderr.seek(0)
        said = self._stderr.read().decode(errors="replace").strip()
        return (
            f"error during connect: command [{command}] has exited with exit status {self._process.poll()}, "
            "make sure the URL is valid, and Docker 18.09 or later is installed on the remote host: "
            f"stderr={said}"
        )


class SshDockerPool(urllib3.connectionpool.HTTPConnectionPool):
    """The pool of connections to one host, which later requests reuse."""

    def __init__(self, host: SshHost, timeout: float) -> None:
        """Store the address of the host, and limit the number of connections."""
        super().__init__("localhost", timeout=timeout, maxsize=_CONNECTIONS, block=True)
        self._host = host
        self._seconds = timeout

    def _new_conn(self) -> SshDockerConnection:
        return SshDockerConnection(self._host, self._seconds)


class SshDockerAdapter(BaseHTTPAdapter):  # type: ignore[misc] # docker-py has no types
    """The adapter that docker-py mounts for its base URL."""

    def __init__(self, host: SshHost, timeout: float) -> None:
        """Make one pool for all URLs."""
        self._pool = SshDockerPool(host, timeout)
        super().__init__()

    def get_connection_with_tls_context(
        self, request: Any, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        """Return the pool of connections. The library `requests` calls this method since version 2.32."""
        del request, verify, proxies, cert
        return self._pool

    def request_url(self, request: Any, proxies: Any) -> str:
        """Return only the path, because there is no proxy and no real host."""
        del proxies
        return str(request.path_url)

    def close(self) -> None:
        """End all ssh processes."""
        self._pool.close()
