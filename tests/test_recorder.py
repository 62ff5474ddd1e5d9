"""A recorded run of a program does not depend on earlier runs in the same process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pulumi
import pytest

from portcullis.recorder import Recorder, record

if TYPE_CHECKING:
    from collections.abc import Callable


class _Thing(pulumi.CustomResource):
    def __init__(self, name: str, **inputs: object) -> None:
        super().__init__("portcullis:index:Thing", name, dict(inputs))


def run(program: Callable[[], object]) -> list[str]:
    recorder = Recorder(lambda *_: {})
    record(recorder, program, project="web", stack="dev", preview=False, config={})
    return [one.request.name for one in recorder.registered]


@pytest.mark.timeout(300)
def test_a_run_does_not_wait_for_outputs_of_an_earlier_run() -> None:
    loop = asyncio.new_event_loop()
    pulumi.runtime.settings.SETTINGS.outputs.add(loop.create_future())
    try:
        assert run(lambda: _Thing("first")) == ["first"]
    finally:
        loop.close()


def test_an_asynchronous_program_runs_to_its_end() -> None:
    async def main() -> None:
        _Thing("first")
        await asyncio.sleep(0)
        _Thing("second")

    assert sorted(run(lambda: pulumi.run(main))) == ["first", "second"]
