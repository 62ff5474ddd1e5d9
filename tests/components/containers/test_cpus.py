from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from tests.on_host import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from portcullis.agent.machine import Machine

AVX = {
    "program": "mongo", "features": {"avx": "present"}, "reason": "MongoDB 5 and later needs it",
    "hint": "another host",
}  # fmt: skip


@pytest.fixture
def cpu(machine: Machine, tmp_path: Path) -> Iterator[Callable[[str], Client]]:
    made: list[Client] = []

    def with_cpuinfo(text: str) -> Client:
        (tmp_path / "proc").mkdir()
        (tmp_path / "proc" / "cpuinfo").write_text(text)
        made.append(Client(dataclasses.replace(machine, proc_sys=tmp_path / "proc" / "sys")))
        return made[0]

    yield with_cpuinfo
    for client in made:
        client.close()


@pytest.mark.parametrize(
    "text", ["processor\t: 0\nflags\t\t: fpu sse2 avx avx2\n", "processor\t: 0\nFeatures\t: fp asimd\n"]
)
def test_a_processor_with_the_feature_or_of_another_architecture_passes(
    cpu: Callable[[str], Client], text: str
) -> None:
    client = cpu(text)
    assert client.on("put", "containers.cpus", "mongo", AVX)["steps"] == []
    assert client.look("containers.cpus", "mongo", {"features": ["avx"]})["features"] == {"avx": "present"}
    assert client.on("remove", "containers.cpus", "mongo", AVX)["done"] == "kept"


def test_the_error_names_the_missing_feature_and_what_to_do(cpu: Callable[[str], Client]) -> None:
    client = cpu("processor\t: 0\nflags\t\t: fpu sse2 avxlike\n")
    error: Any = client.refused("put", "containers.cpus", "mongo", AVX)
    assert error.message == "the host's CPU lacks AVX: MongoDB 5 and later needs it"
    assert (error.prop, error.hint) == ("features.avx", "another host")
    assert client.look("containers.cpus", "mongo", {"features": ["avx"]})["features"] == {"avx": "missing"}


def test_an_unreadable_cpuinfo_is_an_error_of_its_own(cpu: Callable[[str], Client]) -> None:
    client = cpu("")
    (client.machine.proc_sys.parent / "cpuinfo").unlink()
    items = [{"kind": "containers.cpus", "id": "mongo", "spec": {"features": ["avx"]}}]
    (found,) = client.ask("survey", items=items, index=False)["items"]
    assert found["error"]["code"] == "unreadable"
