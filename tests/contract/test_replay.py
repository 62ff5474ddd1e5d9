"""Repeats every recorded call of the official plugins on the stand-ins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contract.recorded import FILES, TOTAL, Call, calls

if TYPE_CHECKING:
    from lab.pytest_lab import Host
    from tests.contract.world import World

# Beyond what the project uses. The stand-ins must say so, whatever is asked of them.
_REFUSED_TYPES = (
    "command:remote:Command",
    "docker:index/secret:Secret",
    "docker:index/serviceConfig:ServiceConfig",
    "docker:index/service:Service",
)
_OVERLAY = "docker:index/network:Network::ov"


def needs_host(call: Call) -> bool:
    """Return whether the call needs a host with Docker."""
    return call.package == "docker"


def refused(call: Call) -> str:
    """What a refusal must name, or nothing when the call is to be answered."""
    if call.type in _REFUSED_TYPES:
        return call.type
    if call.method == "Invoke":
        return str(call.request["tok"])
    return "driver overlay" if call.urn.endswith(_OVERLAY) else ""


def test_no_call_is_left_out() -> None:
    assert sum(len(calls(file)) for file in FILES) == TOTAL
    assert sum(needs_host(call) for file in FILES for call in calls(file)) == 229
    assert len([call for file in FILES for call in calls(file) if refused(call)]) == 59


@pytest.mark.parametrize("file", FILES)
def test_tls_and_commands(file: str, world: World) -> None:
    """Each file of recordings builds on the earlier files, so the earlier files are replayed first."""
    _replay_until(file, world, hosted=False)


@pytest.mark.e2e
@pytest.mark.parametrize("file", FILES)
def test_docker(file: str, hosted_world: World, docker_host: Host) -> None:
    _replay_until(file, hosted_world, hosted=True, host=docker_host)


def _replay_until(file: str, world: World, *, hosted: bool, host: Host | None = None) -> None:
    done = {call.place.split(":")[0] for call in world.compared}
    for earlier in FILES[: FILES.index(file) + 1]:
        if earlier in done:
            continue
        if host is not None and earlier == "09-stopped-refresh":
            host.run(["docker", "kill", "web"])  # by hand, as when it was recorded
        selected = [call for call in calls(earlier) if needs_host(call) == hosted]
        before = len(world.compared)
        wrong = [line for call in selected for line in _replay(call, world)]
        assert not wrong, "\n".join(wrong)
        assert len(world.compared) - before == len(selected)


def _replay(call: Call, world: World) -> list[str]:
    named = refused(call)
    if named:
        return world.refused(call, lambda said: named in said and "Install the official plugin" in said)
    return world.partly_made(call) + world.replay(call)
