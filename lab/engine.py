"""The Docker engine of the lab: an engine that answers on the default socket, or a dockerd that we start.

We talk to its socket, so no docker client is needed. Each host runs in a container, without a Docker network.
The engine that we start changes no firewall and no sysctl.
"""

from __future__ import annotations

import http.client
import json
import socket
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlencode

from lab.errors import LabError
from lab.places import LIVE, cache, made
from lab.processes import running, start, wait_for
from lab.shell import run
from lab.state import save

if TYPE_CHECKING:
    from lab.shell import Progress
    from lab.state import State

DEFAULT_SOCKET = Path("/var/run/docker.sock")
OWN_SOCKET = LIVE / "docker.sock"
_CGROUP = "portcullis-lab-"
_PID_FILE = f"--pidfile={LIVE / 'docker.pid'}"
# dockerd makes these folders outside of --exec-root. We remove them if they are empty.
_DOCKER_FOLDERS = [Path("/run", name) for name in ("containerd/s", "containerd", "docker/plugins", "docker")]
LABEL = "portcullis.lab"

_HTTP_NOT_FOUND = 404
_HTTP_CONFLICT = 409
_HTTP_BAD = 400


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("docker", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Engine:
    """A few calls of the Docker Engine API (docs.docker.com/reference/api/engine)."""

    def __init__(self, path: Path) -> None:
        """Use Docker's socket at ``path``."""
        self.socket = path

    def answers(self) -> bool:
        """Tell whether the engine answers."""
        try:
            return self._send("GET", "/_ping", timeout=5)[0] == http.client.OK
        except (OSError, http.client.HTTPException):
            return False

    def has_image(self, reference: str) -> bool:
        """Tell whether the engine has the image."""
        return self._call("GET", f"/images/{reference}/json", absent=None) is not None

    def import_image(self, tar: Path, repository: str, tag: str) -> None:
        """Make an image of one layer from a tar file."""
        query = urlencode({"fromSrc": "-", "repo": repository, "tag": tag})
        with tar.open("rb") as body:
            self._call("POST", f"/images/create?{query}", body=body, timeout=300)

    def remove_images(self, repository: str, keep: str = "") -> None:
        """Remove the images of a repository, except ``keep`` and images in use."""
        query = urlencode({"filters": json.dumps({"reference": [repository]})})
        for item in self._call("GET", f"/images/json?{query}"):
            for name in item["RepoTags"] or []:
                if name != keep:
                    self._call("DELETE", f"/images/{name}", absent={}, conflict={})

    def create(self, name: str, config: dict[str, Any]) -> str:
        """Create a container and return its id."""
        made_ = self._call("POST", f"/containers/create?{urlencode({'name': name})}", data=config)
        return str(made_["Id"])

    def put(self, container: str, tar: bytes) -> None:
        """Unpack a tar file in the root folder of the container."""
        self._call("PUT", f"/containers/{container}/archive?path=/", body=tar, timeout=60)

    def start(self, container: str) -> None:
        """Start a container."""
        self._call("POST", f"/containers/{container}/start", timeout=60)

    def stop(self, container: str, patience: int = 30) -> None:
        """Shut a container down. If it still runs after `patience` seconds, stop it by force."""
        self._call("POST", f"/containers/{container}/stop?t={patience}", timeout=patience + 60)

    def commit(self, container: str, repository: str, tag: str) -> None:
        """Make an image of a container's disk, without its volumes."""
        query = urlencode({"container": container, "repo": repository, "tag": tag, "pause": "0"})
        self._call("POST", f"/commit?{query}", data={}, timeout=300)

    def remove(self, container: str) -> None:
        """Remove a container by force, with its volumes. A missing container is no error."""
        self._call("DELETE", f"/containers/{container}?force=1&v=1", timeout=90, absent={})

    def inspect(self, container: str) -> dict[str, Any] | None:
        """Return the engine's facts about a container, or None if there is no such container."""
        found: dict[str, Any] | None = self._call("GET", f"/containers/{container}/json", absent=None)
        return found

    def labelled(self) -> list[str]:
        """Return the ids of all containers with the lab's label."""
        query = urlencode({"all": "1", "filters": json.dumps({"label": [LABEL]})})
        return [str(item["Id"]) for item in self._call("GET", f"/containers/json?{query}")]

    def _call(
        self,
        method: str,
        path: str,
        *,
        data: dict[str, Any] | None = None,
        body: bytes | IO[bytes] | None = None,
        timeout: float = 30,
        absent: Any = ...,
        conflict: Any = ...,
    ) -> Any:
        try:
            status, answer = self._send(method, path, data=data, body=body, timeout=timeout)
        except (OSError, http.client.HTTPException) as error:
            raise LabError(f"the lab's Docker engine at {self.socket} does not answer: {error}") from error
        if status == _HTTP_NOT_FOUND and absent is not ...:
            return absent
        if status == _HTTP_CONFLICT and conflict is not ...:
            return conflict
        if status >= _HTTP_BAD:
            raise LabError(
                f"the lab's Docker engine refused {method} {path.partition('?')[0]}: {_message(answer)}"
            )
        # An image import answers with a stream of progress objects. The last one has the error.
        lines = [json.loads(line) for line in answer.splitlines() if line.strip()]
        if lines and isinstance(lines[-1], dict) and "error" in lines[-1]:
            raise LabError(
                f"the lab's Docker engine failed to serve {path.partition('?')[0]}: {lines[-1]['error']}"
            )
        return lines[-1] if lines else {}

    def _send(
        self,
        method: str,
        path: str,
        *,
        data: dict[str, Any] | None = None,
        body: bytes | IO[bytes] | None = None,
        timeout: float,
    ) -> tuple[int, bytes]:
        connection = _Connection(self.socket, timeout)
        headers = {"Content-Type": "application/json" if data is not None else "application/x-tar"}
        try:
            connection.request(method, path, json.dumps(data).encode() if data is not None else body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def _message(answer: bytes) -> str:
    try:
        return str(json.loads(answer)["message"])
    except (ValueError, KeyError, TypeError):
        return answer.decode(errors="replace").strip() or "no reason given"


def current(state: State) -> Engine:
    """Return the engine that the lab uses now."""
    return Engine(OWN_SOCKET if state.docker else DEFAULT_SOCKET)


def ensure(state: State, progress: Progress) -> Engine:
    """Return an engine that answers.

    Start Debian's dockerd if no engine answers.

    Raises:
        LabError: no engine answers, and none can be started.
    """
    if state.docker and not state.docker.alive():
        state.docker = None
    if state.docker is None:
        _stop_unknown()
    engine = current(state)
    if engine.answers():
        return engine
    progress.say("starting dockerd (no engine answers on the default socket)")
    settings = LIVE / "daemon.json"
    settings.write_text("{}\n")  # the lab's engine does not use this machine's /etc/docker/daemon.json
    engine = Engine(OWN_SOCKET)
    state.cgroup = state.cgroup or f"{_CGROUP}{token_hex(3)}"
    save(state)
    state.docker = start(
        "dockerd",
        [
            "dockerd",
            f"--config-file={settings}",
            f"--data-root={made(cache() / 'docker', 0o711)}",
            f"--exec-root={LIVE / 'docker'}",
            f"--host=unix://{OWN_SOCKET}",
            _PID_FILE,
            f"--cgroup-parent=/{state.cgroup}",
            "--bridge=none",
            "--iptables=false",
            "--ip6tables=false",
            "--ip-forward=false",
        ],
    )
    save(state)
    wait_for("dockerd", state.docker, engine.answers, 60)
    return engine


def stop(state: State) -> None:
    """Stop the dockerd that the lab started, if any, and remove the control groups that it leaves."""
    if state.docker is None and not state.cgroup:
        return
    if state.docker:
        state.docker.stop(patience=30)
    state.docker = None
    _stop_unknown()
    for mount in reversed(mounts()):  # an earlier dockerd that was killed has left its mounts
        # Unmount lazily, because its containers may not have ended yet.
        run(["umount", "--lazy", mount], check=False)
    for group in control_groups():
        if group.name == state.cgroup:
            for folder in sorted(
                [group, *(path for path in group.rglob("*") if path.is_dir())], reverse=True
            ):
                folder.rmdir()
    state.cgroup = ""
    for folder in _DOCKER_FOLDERS:
        with suppress(OSError):  # another engine uses it, or it does not exist
            folder.rmdir()


def _stop_unknown() -> None:
    """Stop a dockerd that the lab started but could not record, because the lab was killed in between."""
    for process in running(_PID_FILE):
        process.stop(patience=30)


def mounts() -> list[str]:
    """Return the mounts of a dockerd that the lab started, the oldest mount first."""
    points = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    return [point for point in points if point.startswith((f"{LIVE}/", f"{cache() / 'docker'}"))]


def control_groups() -> list[Path]:
    """Return the control groups of each dockerd that a lab started, for cgroup v1 and v2."""
    root = Path("/sys/fs/cgroup")
    return [path for path in (*root.glob(f"{_CGROUP}*"), *root.glob(f"*/{_CGROUP}*")) if path.is_dir()]
