"""The recording engine reports the same order of resources as Pulumi's own SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
from pulumi import ResourceOptions

from portcullis.resources import File

if TYPE_CHECKING:
    from tests.recording_engine import Deploy


class Part(pulumi.ComponentResource):
    def __init__(self, name: str, opts: ResourceOptions | None = None) -> None:
        super().__init__("portcullis:index:Part", name, None, opts)
        for number in (1, 2):
            path = f"/etc/{name}-{number}"
            File(f"{name}-{number}", host="web1", path=path, content="", opts=ResourceOptions(parent=self))


def test_what_is_in_a_component_comes_after_all_that_the_component_waits_for(deploy: Deploy) -> None:
    def program() -> None:
        first = Part("first")
        outer = Part("outer", ResourceOptions(depends_on=[first]))
        Part("last", ResourceOptions(parent=outer))

    engine = deploy(program)
    assert engine.before("first-1") == frozenset()
    assert engine.before("outer-1") == engine.before("last-2") == {"first-1", "first-2"}
