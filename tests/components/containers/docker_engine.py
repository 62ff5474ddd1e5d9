"""A fake Docker engine on a socket, which gives the answers that a test has prepared."""

from __future__ import annotations

import contextlib
import json
import socketserver
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Json = dict[str, Any]


@dataclass
class Engine:
    """The fake engine's data, in the form of Docker's API."""

    containers: list[Json] = field(default_factory=list)
    services: list[Json] | None = None
    drivers: dict[str, str] = field(default_factory=dict)
    broken: bool = False
    version: Any = field(
        default_factory=lambda: {"Version": "29.8.2", "ApiVersion": "1.56", "MinAPIVersion": "1.40"}
    )

    def run(
        self,
        name: str,
        *ports: str,
        image: str = "mysql:8",
        state: str = "running",
        networks: tuple[str, ...] = ("bridge",),
        addresses: tuple[str, str] = ("", ""),
        id_: str = "",
    ) -> Json:
        """Add a container to the fake engine.

        Each of `ports` is ADDRESS:PORT/PROTOCOL on the host. The ports inside the container are numbered from
        0. `addresses` are the container's own address and the host's address on each network.
        """
        bound = [port.rpartition("/") for port in ports]
        places = [(*place.rpartition(":")[::2], protocol) for place, _, protocol in bound]
        made = {
            "Id": id_ or f"{len(self.containers) + 1:064x}",
            "Names": [f"/{name}"], "Image": image, "State": state,
            "Ports": [
                {"IP": address.strip("[]"), "PrivatePort": 1, "PublicPort": int(port), "Type": protocol}
                for address, port, protocol in places
            ] if state == "running" else [],
            "NetworkSettings": {"Networks": {
                network: dict(zip(("IPAddress", "Gateway"), addresses, strict=True)) for network in networks
            }},
            "bindings": {
                f"{index}/{protocol}": [{"HostIp": address.strip("[]"), "HostPort": port}]
                for index, (address, port, protocol) in enumerate(places)
            },
        }  # fmt: skip
        self.containers.append(made)
        return made

    def answer(self, target: str) -> tuple[int, Any]:
        if self.broken:
            return 500, {"message": "it is on fire"}
        if target == "/containers/json?all=1":
            return 200, [{k: v for k, v in one.items() if k != "bindings"} for one in self.containers]
        known: dict[str, Any] = {
            "/version": self.version,
            "/networks": [{"Name": name, "Driver": driver} for name, driver in self.drivers.items()],
        }
        if target in known:
            return 200, known[target]
        if target == "/services":
            no_swarm = {"message": "This node is not a swarm manager."}
            return (503, no_swarm) if self.services is None else (200, self.services)
        for one in self.containers:
            if target in [f"/containers/{name}/json" for name in (one["Id"], one["Names"][0][1:])]:
                return 200, {
                    "Id": one["Id"],
                    "State": {"Running": one["State"] == "running"},
                    "HostConfig": {"PortBindings": one["bindings"]},
                    "NetworkSettings": one["NetworkSettings"],
                }
        return 404, {"message": "no such container"}


@contextlib.contextmanager
def listening(path: Path) -> Iterator[Engine]:
    """Let a fake engine answer on a socket."""
    engine = Engine()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            method, target, _ = self.rfile.readline().decode().split()
            for _ in iter(self.rfile.readline, b"\r\n"):
                pass
            status, document = engine.answer(target) if method == "GET" else (501, {"message": method})
            head = f"HTTP/1.0 {status} X\r\nContent-Type: application/json\r\n\r\n"
            with contextlib.suppress(BrokenPipeError):
                self.wfile.write((head + json.dumps(document) + "\n").encode())

    server = socketserver.ThreadingUnixStreamServer(str(path), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield engine
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
