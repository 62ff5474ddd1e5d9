"""The checks of `Host`."""

from __future__ import annotations

import pytest

from portcullis.config.faults import ArgumentsError
from portcullis.host import Host


def test_a_host_with_a_wrong_alias_or_system_is_refused() -> None:
    with pytest.raises(ArgumentsError) as caught:
        Host("a b", os="debian")
    assert [fault.path for fault in caught.value.faults] == ["Host.alias", "Host.os"]
    with pytest.raises(ArgumentsError, match=r"Host\.alias: .* is not a name for a host"):
        Host("web1-bootstrap")
