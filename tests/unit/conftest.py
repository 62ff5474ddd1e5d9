"""What the unit tests of the program and its components share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import pytest
from recording_engine import declare

if TYPE_CHECKING:
    from recording_engine import Engine

Deploy = Callable[..., "Engine"]


@pytest.fixture(params=[True, False], ids=["preview", "update"])
def deploy(request: pytest.FixtureRequest) -> Deploy:
    """Run a program against the recording engine, in a preview and in an update."""
    return partial(declare, preview=request.param)
