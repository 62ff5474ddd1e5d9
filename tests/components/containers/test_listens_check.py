"""Without the setting `health`, an app is healthy if it listens and other containers can reach it."""

from __future__ import annotations

import socket
import subprocess

import pytest

from portcullis.components.containers.render import listens_check


def is_well(port: int) -> bool:
    kind, line = listens_check(port)
    assert kind == "CMD-SHELL"
    return subprocess.run(["/bin/sh", "-c", line], check=False).returncode == 0


@pytest.mark.parametrize(
    ("family", "address", "well"),
    [
        (socket.AF_INET, "0.0.0.0", True),  # noqa: S104 - apps do this in their containers
        (socket.AF_INET, "127.0.0.1", False),
        (socket.AF_INET, "127.0.0.53", False),
        (socket.AF_INET6, "::", True),
        (socket.AF_INET6, "::1", False),
        (socket.AF_INET6, "::ffff:127.0.0.1", False),
    ],
)
def test_an_app_is_healthy_if_others_can_reach_its_listener(family: int, address: str, *, well: bool) -> None:
    with socket.socket(family) as server:
        server.bind((address, 0))
        port = server.getsockname()[1]
        assert not is_well(port), "it is bound but does not listen yet"
        server.listen()
        assert is_well(port) == well
    assert not is_well(port)


def test_one_address_counts_and_another_port_does_not() -> None:
    own = socket.gethostbyname(socket.gethostname())
    if own.startswith("127."):
        own = "0.0.0.0"  # noqa: S104 - as above
    with socket.create_server((own, 0)) as server:
        port = server.getsockname()[1]
        assert is_well(port)
        assert not is_well(port ^ 1)


def test_an_open_connection_is_no_listener() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:  # noqa: S104 - as above
        address = (socket.gethostbyname(socket.gethostname()), server.getsockname()[1])
        with socket.create_connection(address), server.accept()[0]:
            assert is_well(address[1])
            server.close()
            assert not is_well(address[1])
