"""Each round of the torture drill interrupts a deployment, and the next `up` repairs everything.

tests/e2e/torture/__init__.py has the details.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.host.watch import agents, of_folder, on_host, wait_for
from tests.e2e.torture import draw, leftovers, record
from tests.e2e.torture.deeds import SECONDS, Tortured
from tests.e2e.torture.victims import Victims
from tests.e2e.torture.witness import Visitor, Writer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.pytest_lab import Host
    from tests.e2e.project import Outcome
    from tests.e2e.torture.draw import Round

LIMIT = 900.0  # seconds of a deed or of the `up` after it
WELCOME = "Welcome to nginx!"
SAMPLE = 500  # how many older writes are checked after each round
DARK = ("host", "up", "destroy")
"""Victims and deeds with which nginx may be away for a while."""


@dataclass
class Scene:
    """The stack, the writer and the visitor of all rounds, and the state of the drill."""

    stack: Tortured
    writer: Writer
    visitor: Visitor
    usual: set[str]
    checked: int = 0
    well: bool = True
    seen: dict[str, int] = field(default_factory=lambda: {"answered": 0, "wrong": 0, "silent": 0})

    @property
    def host(self) -> Host:
        return self.stack.host

    def since_last(self) -> dict[str, int]:
        """Return how many answers of each kind the visitor got since the last call."""
        now = {
            "answered": self.visitor.answered,
            "wrong": len(self.visitor.wrong),
            "silent": len(self.visitor.silent),
        }
        news = {key: count - self.seen[key] for key, count in now.items()}
        self.seen = now
        return news


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, module_host: Host) -> Iterator[Scene]:
    stack = Tortured(tmp_path_factory.mktemp("torture") / "program", module_host)
    try:
        stack.up(timeout=LIMIT)
        stack.preview("--expect-no-changes")
        writer = Writer(module_host)
        writer.start()
        wait_for("the first write", lambda: writer.kept)
        with Visitor(module_host) as visitor:
            yield Scene(stack, writer, visitor, leftovers.of_host(module_host))
        writer.stop()
        assert writer.lost(writer.kept) == []
    finally:
        stack.close()


@pytest.mark.parametrize("drawn", list(draw.rounds()), ids=str)
def test_a_kill_is_mended_by_the_next_up(scene: Scene, drawn: Round) -> None:
    begun, kept = time.monotonic(), len(scene.writer.kept)
    with record.noted(draw.SEED, drawn.what, str(drawn)) as found:
        found |= {"victim": drawn.victim, "deed": drawn.deed, "hit": "", "lost": 0, "answered": 0, "wrong": 0}
        try:
            carry_out(scene, drawn, found)
        finally:
            found |= {
                "seconds": round(time.monotonic() - begun, 1),
                "kept": len(scene.writer.kept) - kept,
            }
            print(found)  # noqa: T201 - shown with -s


def carry_out(scene: Scene, drawn: Round, found: dict[str, Any]) -> None:
    stack = scene.stack
    if not scene.well:  # what a round before could not mend is no fault of this one
        stack.cancel()
        stack.converge(LIMIT)
    scene.well = False
    scene.since_last()
    victims = Victims(stack, drawn.dice())
    for attempt in range(4):
        ended = strike(scene, drawn, victims, drawn.moment * 0.6**attempt)
        if victims.hit:
            break
    found["hit"] = victims.hit
    assert victims.hit, f"the deed {drawn.deed} ended before the victim {drawn.victim} could be struck"
    found["how"] = f"ended with {ended.code} after {ended.seconds:.1f} s"
    ended.lacks("a fault in Portcullis itself")
    if drawn.victim == "engine":
        stack.cancel()
    else:  # the program of an engine that is killed may say anything
        ended.lacks("Traceback")
    stack.converge(LIMIT)
    stack.preview("--expect-no-changes")
    kept = len(scene.writer.kept)
    scene.writer.start()
    wait_for("a write", lambda: len(scene.writer.kept) > kept)
    scene.host.run("nginx -t")
    lost = scene.writer.lost(sample(scene))
    found["lost"] = len(lost)
    assert lost == [], "acknowledged writes are lost"
    found |= scene.since_last()
    # A host that loses power while apt configures nginx boots with Debian's own page, until the next `up`.
    debians = drawn.victim == "host" and drawn.deed == "up"
    wrong = [said for said in scene.visitor.wrong[-found["wrong"] :] if not (debians and WELCOME in said)]
    assert not found["wrong"] or not wrong, wrong[-3:]
    assert {drawn.victim, drawn.deed} & {*DARK} or found["silent"] == 0, scene.visitor.silent[-3:]
    assert leftovers.new(scene.host, scene.usual, stack.folder) == []
    scene.well = True


def strike(scene: Scene, drawn: Round, victims: Victims, moment: float) -> Outcome:
    """Begin the deed, strike its victim, and wait until nothing of it runs any more."""
    stack, host = scene.stack, scene.host
    if drawn.deed == "restore":
        scene.writer.stop()  # what is written after a backup is gone with its restore, as people ask for it
    victims.before(drawn.victim)
    begun = time.monotonic()
    deed = stack.begin(drawn.deed)
    time.sleep(moment * SECONDS[drawn.deed])
    victims.strike(drawn.victim, deed)
    host.run("command -v nginx >/dev/null || exit 0; nginx -t")
    ended = stack.finish(deed, drawn.deed, begun, LIMIT)
    victims.mend()
    wait_for("the agent to finish and end", lambda: not agents(host))
    wait_for("a backup or restore to end", lambda: not on_host(host, "sbin/portcullis-backup"))
    wait_for("all processes on this machine to end", lambda: not of_folder(host, stack.folder))
    return ended


def sample(scene: Scene) -> list[int]:
    """Return the writes of this round, and a random choice of older writes."""
    kept = list(scene.writer.kept)
    older, scene.checked = kept[: scene.checked], len(kept)
    return random.sample(older, min(SAMPLE, len(older))) + kept[len(older) :]
