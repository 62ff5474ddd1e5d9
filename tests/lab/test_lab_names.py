"""Logs and caches of the lab go by the name of a host, so no later host may get the name of a removed one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab import machine, state

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_name_of_a_removed_host_is_not_given_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(state, "STATE", tmp_path / "state.json")
    names = []
    for _ in range(3):
        now = state.load()
        now.hosts["test-2"] = state.HostRecord("test-2", "/checkout", "container", 10, "trixie")
        names.append(machine.new_name(now, "test"))
        state.save(now)
    assert names == ["test-1", "test-3", "test-4"]
