from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest

from portcullis.provider import peers

if TYPE_CHECKING:
    from tests.provider.conftest import Engine

OTHER = 65533
PORT = 50002
MAPPED = "0000000000000000FFFF00000100007F"
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


@pytest.mark.once
def test_another_user_is_refused(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers.os, "geteuid", lambda: OTHER)
    with pytest.raises(grpc.RpcError) as refused:
        engine.check("File")
    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED
    assert "serves only the user who started it" in str(refused.value.details())
