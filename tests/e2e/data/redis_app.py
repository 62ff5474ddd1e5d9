"""An app that writes to Redis all the time. The app runs on the host until its folder has a file `stop`.

The app reads its connection string from a file. If the file changes, the app connects with the new string, as
a replaced container does. From time to time the app opens one more connection with the present string, as a
connection pool does. At its end the app writes down the failed requests and the number of acknowledged
writes.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import time
from pathlib import Path

URL = re.compile(r"rediss?://([^:]+):([^@]+)@")


class Session:
    def __init__(self, url: str, address: tuple[str, int]) -> None:
        found = URL.match(url)
        assert found
        self.user = found[1]
        self._socket = socket.create_connection(address, 120)
        self.ask("AUTH", *found.groups())

    def ask(self, *words: str) -> str:
        parts = [f"${len(word)}\r\n{word}\r\n" for word in words]
        self._socket.sendall(f"*{len(words)}\r\n{''.join(parts)}".encode())
        answer = b""
        while not answer.endswith(b"\r\n"):
            piece = self._socket.recv(4096)
            if not piece:
                raise ConnectionResetError
            answer += piece
        if answer.startswith(b"-"):
            raise PermissionError(answer.decode())
        return answer.decode()

    def close(self) -> None:
        self._socket.close()


def main(file: str, folder: str, address: str, *, stops: bool) -> None:
    """Write until the folder has a file `stop`. With `stops`, a failed request also ends the app."""
    url, host = Path(file), address.rpartition(":")
    peer = host[0], int(host[2])
    place = Path(folder)
    current = url.read_text()
    session = Session(current, peer)
    count, failed, users = 0, [], [session.user]
    while not (place / "stop").exists():
        try:
            text = url.read_text()
            if text and text != current:
                newer = Session(text, peer)
                session.close()
                session, current = newer, text
                users.append(newer.user)
            if count % 20 == 0:
                other = Session(current, peer)
                other.ask("GET", "count")
                other.close()
            session.ask("SET", "count", str(count + 1))
            count += 1
        except OSError as error:
            failed.append(repr(error))
            if stops:
                break
            time.sleep(0.05)
        if count == 1:
            (place / "going").touch()
        time.sleep(0.002)
    told = {"count": count, "failed": failed[:5], "users": users}
    (place / "done.new").write_text(json.dumps(told))
    (place / "done.new").rename(place / "done")


if __name__ == "__main__":
    main(*sys.argv[1:4], stops=sys.argv[4] == "stops")
