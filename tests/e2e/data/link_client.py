"""A client of an app that asks all the time, until there is a file `NAME.stop`.

It asks with a new connection each time, as most clients do, and over a connection that stays open. A release
that ends may cut one request that it has accepted: the client asks again, once. It tells how often each
answer came, which requests failed, how many it asked again, and how often the other connection was cut.
"""

from __future__ import annotations

import http.client
import json
import socket
import sys
import time
from collections import Counter
from pathlib import Path

HOST, PORT, ECHO = "api", 8080, 8081


def ask() -> str:
    """Return the answer to a request with a new connection. Python tries each address of the name."""
    connection = http.client.HTTPConnection(HOST, PORT, timeout=60)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode().strip()
    finally:
        connection.close()


def main(name: str) -> None:
    place = Path(name)
    seen: Counter[str] = Counter()
    failed, again, cut = [], 0, 0
    kept = socket.create_connection((HOST, ECHO), 60)
    while not place.with_suffix(".stop").exists():
        try:
            try:
                answer = ask()
            except ConnectionResetError:
                again += 1
                answer = ask()
            seen[answer] += 1
        except (OSError, http.client.HTTPException) as error:
            failed.append(repr(error))
        try:
            kept.sendall(b"here\n")
            if not kept.recv(16):
                raise ConnectionResetError
        except OSError:
            cut += 1
            kept.close()
            kept = socket.create_connection((HOST, ECHO), 60)
        place.with_suffix(".going").touch()
        time.sleep(0.005)
    told = {"seen": seen, "failed": failed, "again": again, "cut": cut}
    place.with_suffix(".new").write_text(json.dumps(told))
    place.with_suffix(".new").rename(place.with_suffix(".told"))


if __name__ == "__main__":
    main(sys.argv[1])
