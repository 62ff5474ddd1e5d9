from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest

from portcullis.provider import peers

if TYPE_CHECKING:
    from tests.provider.conftest import Engine

OTHER = 65533
MAPPED = "0000000000000000FFFF00000100007F"
TABLE = f"""\
  sl  local_address rem_address st tx_queue:rx_queue tr:when retrnsmt uid
   0: 0100007F:C352 0100007F:9C40 01 0:0 00:0 0 1000
   1: 0100007F:9C40 0100007F:C352 01 0:0 00:0 0 1001
  sl  local_address rem_address st tx_queue:rx_queue tr:when retrnsmt uid
   0: {MAPPED}:9C41 {MAPPED}:C352 01 0:0 00:0 0 1002
"""


def test_the_uid_is_that_of_the_callers_end() -> None:
    assert peers.uid_of("ipv4:127.0.0.1:40000", TABLE) == 1001
    assert peers.uid_of("ipv4:127.0.0.1:40001", TABLE) == 1002
    assert peers.uid_of("ipv4:127.0.0.1:40002", TABLE) is None


def test_a_user_who_started_the_plugin_is_served(engine: Engine) -> None:
    assert engine.check("File")


@pytest.mark.once
def test_another_user_is_refused(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers.os, "geteuid", lambda: OTHER)
    with pytest.raises(grpc.RpcError) as refused:
        engine.check("File")
    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED
    assert "serves only the user who started it" in str(refused.value.details())
