"""What the unit tests of the program and its components share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import pytest
from pulumi.runtime import resource
from pulumi.runtime.proto import source_pb2
from recording_engine import declare

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recording_engine import Engine

Deploy = Callable[..., "Engine"]


@pytest.fixture
def deploy() -> Deploy:
    """Run a program against the recording engine, in an update; previews.py compares previews with it."""
    return partial(declare, preview=False)


@pytest.fixture(scope="session", autouse=True)
def no_stack_traces() -> Iterator[None]:
    """Send no stack trace with a resource: to read all of pytest's frames takes a quarter of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resource, "_get_stack_trace", source_pb2.StackTrace)
        yield
