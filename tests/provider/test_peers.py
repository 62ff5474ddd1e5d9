from __future__ import annotations

import os
import subprocess
import threading
from typing import TYPE_CHECKING

import grpc
import pytest

from portcullis.provider import peers
from portcullis.provider.__main__ import serve
from portcullis.provider.servicer import Servicer
from tests.provider.conftest import Engine

if TYPE_CHECKING:
    from collections.abc import Iterator

OTHER = 65533
NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")
PORT = 50002
MAPPED = "0000000000000000FFFF00000100007F"
RELAY = """
import socket, sys, threading
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
near = listener.accept()[0]
far = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def pass_on(source, target):
    while part := source.recv(65536):
        target.sendall(part)
threading.Thread(target=pass_on, args=(far, near), daemon=True).start()
pass_on(near, far)
"""
TABLE = f"""\
  sl  local_address rem_address st tx_queue:rx_queue tr:when retrnsmt uid
   0: 0100007F:9C40 0100007F:1F90 01 0:0 00:0 0 1000
   1: 0100007F:9C40 0100007F:C352 06 0:0 00:0 0 0
   2: 0100007F:9C40 0100007F:C352 01 0:0 00:0 0 1001
   3: 0100007F:C352 0100007F:9C40 01 0:0 00:0 0 1000
  sl  local_address rem_address st tx_queue:rx_queue tr:when retrnsmt uid
   0: {MAPPED}:9C41 {MAPPED}:C352 01 0:0 00:0 0 1002
"""


def test_the_uid_is_that_of_the_callers_end_of_the_connection_to_the_plugin() -> None:
    """Two users may have connections from one port to different ports."""
    assert peers.uid_of("ipv4:127.0.0.1:40000", PORT, TABLE) == 1001
    assert peers.uid_of("ipv4:127.0.0.1:40001", PORT, TABLE) == 1002
    assert peers.uid_of("ipv4:127.0.0.1:40000", 8081, TABLE) is None


def test_a_user_who_started_the_plugin_is_served(engine: Engine) -> None:
    assert engine.check("File")


@pytest.fixture
def relayed(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Return a client whose connection to the plugin belongs to a process of another uid, the parameter."""
    server, port = serve(Servicer(threading.Event().set))
    argv = ["/usr/bin/python3", "-IS", "-c", RELAY, str(port)]
    with subprocess.Popen(argv, user=request.param, cwd="/", stdout=subprocess.PIPE, text=True) as relay:
        assert relay.stdout
        client = Engine(int(relay.stdout.readline()), threading.Event())
        yield client
        client.close()
        relay.kill()
    server.stop(0).wait(5)


@pytest.mark.once
@NEEDS_ROOT
@pytest.mark.parametrize("relayed", [0], indirect=True)
def test_a_relay_of_the_own_user_is_served(relayed: Engine) -> None:
    assert relayed.check("File")


@pytest.mark.once
@NEEDS_ROOT
@pytest.mark.parametrize("relayed", [OTHER], indirect=True)
def test_another_user_is_refused(relayed: Engine) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        relayed.check("File")
    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED
    assert "serves only the user who started it" in str(refused.value.details())
