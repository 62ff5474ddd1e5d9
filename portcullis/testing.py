"""Unit tests of a Pulumi program: what it declares, without Pulumi's engine, a host, a state or a registry.

from portcullis.testing import declared

def test_the_store_keeps_its_data() -> None:
    assert any(one.protect for one in declared())
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from portcullis.policy import program
from portcullis.policy.model import UNKNOWN, Resource
from portcullis.project import project_name

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["UNKNOWN", "Resource", "declared"]

_DIGEST = "sha256:" + "0" * 64


def declared(config: Mapping[str, str] | None = None, *, stack: str = "test") -> list[Resource]:
    """Run the program of the project in the working folder, and return the resources that it declares.

    The program runs as in the first preview of a stack: what only a provider knows is UNKNOWN. An image by
    tag gets a made-up digest, because no registry is asked.

    Args:
        config: the stack's configuration, each value as text under its full key, such as `shop:size`.
        stack: the stack's name.

    Raises:
        NoResources: the program refused its settings and has reported why.
    """
    project = project_name(Path.cwd()) or "test"
    with mock.patch("portcullis.registry._Asking.digest", return_value=_DIGEST):
        return program.of_program(config or {}, project=project, stack=stack)
