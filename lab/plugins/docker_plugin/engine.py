"""A Docker engine: docker-py's low-level client over ssh, with the error texts of Docker's Go client."""

from __future__ import annotations

import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from lab.plugins.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker.api import APIClient

    from lab.plugins.docker_plugin.host import SshHost

# The newest version of the official plugin's client. For an older engine we use the engine's version.
NEWEST_API = (1, 51)
_OLDEST_API = (1, 41)  # Docker 20.10, in Debian 12
_TIMEOUT_SECONDS = 120.0
_FAILURE_KEPT_SECONDS = 10.0  # a lock, so that only one resource tries to reach a host that does not answer


class EngineError(PluginError):
    """A refusal of the Docker engine, with the engine's own text."""

    def __init__(self, explanation: str, *, not_found: bool) -> None:
        """Store the engine's explanation in the words of Docker's Go client."""
        super().__init__(f"Error response from daemon: {explanation}")
        self.not_found = not_found


class Engine:
    """The client of an engine.

    The client connects at its first use, because the first preview runs without Docker.
    """

    def __init__(self, host: SshHost) -> None:
        """Store the address of the host. The constructor does not connect."""
        self.host = host
        self._lock = threading.Lock()
        self._client: APIClient | None = None
        self._failure: PluginError | None = None
        self._failed = 0.0

    @property
    def client(self) -> APIClient:
        """Return the connected client.

        Raises:
            PluginError: the host cannot be reached or its Docker is too old.
        """
        with self._lock:
            if self._client is None:
                if self._failure is not None and time.monotonic() < self._failed + _FAILURE_KEPT_SECONDS:
                    raise PluginError(str(self._failure))
                try:
                    self._client = self._connect()
                except PluginError as error:
                    self._failure, self._failed = error, time.monotonic()
                    raise
            return self._client

    def _connect(self) -> APIClient:
        # Imported here: the import takes time, and a preview without a refresh never needs docker-py.
        from docker.api import APIClient  # noqa: PLC0415

        from lab.plugins.docker_plugin.transport import SshDockerAdapter  # noqa: PLC0415

        adapter = SshDockerAdapter(self.host, _TIMEOUT_SECONDS)

        def speaking(version: tuple[int, ...]) -> APIClient:
            text = ".".join(str(part) for part in version)
            client = APIClient(base_url="http://localhost:2375", version=text, timeout=int(_TIMEOUT_SECONDS))
            client.mount("http://", adapter)
            client.trust_env = False  # the client uses no proxy, because ssh makes the connection
            return client

        # The text of docker 5.2.0, with its two spaces. Older versions say "unable to ping Docker server".
        asking = (
            "failed to create Docker client: Error pinging Docker server, please make sure that "
            f"{self.host.url} is reachable and has a  '_ping' endpoint. Error"
        )
        with daemon_errors(asking):
            offered = speaking(_OLDEST_API).version(api_version=False)["ApiVersion"]
        version = tuple(int(part) for part in offered.split("."))
        if version < _OLDEST_API:
            message = (
                f"Docker on {self.host.name} speaks API {offered}; Docker 20.10 (API 1.41) or newer is needed"
            )
            raise PluginError(message)
        return speaking(min(version, NEWEST_API))

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._client is not None:
                self._client.close()


class daemon_errors:  # noqa: N801 - reads as a statement: with daemon_errors("Unable to …")
    """Turns docker-py's errors into the texts of the official plugin, which begin with the operation."""

    def __init__(self, doing: str = "", *, after: type[PluginError] = PluginError) -> None:
        """Without `doing`, an error keeps its text and class.

        With `doing`, its text begins with `doing`, and its class is `after`.
        """
        self._doing = doing
        self._after = after

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None or kind is None:
            return
        refused = engine_error(error)
        if refused is None:
            return
        if not self._doing:
            raise refused from None
        message = f"{self._doing}: {refused}"
        raise self._after(message) from None


def engine_error(error: BaseException) -> PluginError | None:
    """Return the error in the words of Docker's client, or None for an error of another origin."""
    if isinstance(error, PluginError):
        return error
    from docker.errors import APIError, DockerException  # noqa: PLC0415 - as in _connect
    from requests.exceptions import RequestException  # noqa: PLC0415

    if isinstance(error, APIError):
        said = error.explanation or (error.response.reason if error.response is not None else str(error))
        status = error.response.status_code if error.response is not None else 0
        return EngineError(_plain(said), not_found=status == HTTPStatus.NOT_FOUND)
    if isinstance(error, (RequestException, DockerException)):
        for cause in _causes(error):
            if isinstance(cause, PluginError):
                return cause
        return PluginError(f"error during connect: {error}")
    return None


def _plain(said: str | bytes) -> str:
    return said.decode(errors="replace") if isinstance(said, bytes) else said


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and the errors inside it.

    The libraries `requests` and `urllib3` keep the inner errors in arguments and causes.
    """
    seen: list[BaseException] = [error]
    while seen:
        current = seen.pop()
        yield current
        seen += [
            part
            for part in (current.__cause__, current.__context__, *current.args)
            if isinstance(part, BaseException)
        ]
