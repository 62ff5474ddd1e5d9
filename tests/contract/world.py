"""Replays recorded calls on running stand-ins, which give resources other ids, keys and addresses.

The official answer to a Create and our answer are matched value by value. From then on, requests have our
ids, keys and certificates in place of the recorded ones. Answers get the recorded ones in place of ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.contract import issued
from tests.contract.compare import mismatches, normal
from tests.contract.plugin_process import PluginProcess, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.contract.recorded import Call

_DOCKER_ID = re.compile(r"^[0-9a-f]{64}$")  # Swarm's ids are the shorter ones
_SHORTEST_LEARNT = 12  # shorter texts could be part of other texts by chance


@dataclass
class World:
    """The environment of one replay: the running stand-ins, and the texts to exchange.

    `exchanges` maps recorded texts to ours. `form` normalises answers before a comparison.
    """

    folder: Path
    form: Callable[[Any], Any] = normal
    exchanges: dict[str, str] = field(default_factory=dict)
    plugins: dict[str, PluginProcess] = field(default_factory=dict)
    compared: list[Call] = field(default_factory=list)
    made: dict[str, Any] = field(default_factory=dict)
    serials: set[int] = field(default_factory=set)

    def plugin(self, package: str) -> PluginProcess:
        """Return the running stand-in for a package."""
        if package not in self.plugins:
            self.plugins[package] = PluginProcess(package, self.folder)
        return self.plugins[package]

    def close(self) -> None:
        """End all running stand-ins."""
        for plugin in self.plugins.values():
            plugin.close()

    def create(self, read: Call) -> None:
        """Create the resource that a recorded Read found on the host."""
        request = self._ours({**read.request, "properties": read.request["inputs"]})
        answer = self.plugin(read.package).call(
            "Create", {k: request[k] for k in ("urn", "type", "properties")}
        )
        assert not isinstance(answer, Refusal), answer.message
        self._learn_ids(read.response, answer)

    def replay(self, call: Call) -> list[str]:
        """Send a recorded call to the stand-in, and return the faults of the answer."""
        request, now = self._ours(call.request), datetime.now(UTC)
        answer = self.plugin(call.package).call(call.method, request)
        self.compared.append(call)
        if call.method == "Cancel":
            # The next call starts a new process. Some recordings have a second, idle process of the plugin.
            self.plugins.pop(call.package).wait()
        if call.errors:
            return self._compare_errors(call, answer)
        if isinstance(answer, Refusal):
            return [f"{call}: refused: {answer.message}"]
        self._learn_ids(call.response, answer)
        new = call.package == "tls" and call.method == "Create"
        form = normal if new else self.form
        found = mismatches(form(call.response), form(self._recorded(answer)))
        if new:
            found += issued.faults(call.type, request["properties"], answer, now) + self._serial(answer)
        if call.method == "Create":
            self._learn(call.response, answer)
        return [f"{call}: {line}" for line in found]

    def _serial(self, answer: dict[str, Any]) -> list[str]:
        number = issued.serial(answer)
        if number is None:
            return []
        known = number in self.serials
        self.serials.add(number)
        return [f"serial number {number} is another certificate's"] if known else []

    def refused(self, call: Call, says: Callable[[str], bool]) -> list[str]:
        """Send a call that the stand-in must refuse, and return the faults of the refusal."""
        answer = self.plugin(call.package).call(call.method, self._ours(call.request))
        self.compared.append(call)
        if isinstance(answer, Refusal):
            return [] if says(answer.message) else [f"{call}: refused with {answer.message!r}"]
        reasons = [failure["reason"] for failure in answer.get("failures", [])]
        return [] if any(says(reason) for reason in reasons) else [f"{call}: not refused: {answer!r}"]

    def _compare_errors(self, call: Call, answer: dict[str, Any] | Refusal) -> list[str]:
        if not isinstance(answer, Refusal):
            return [f"{call}: not refused; officially {call.errors}"]
        if answer.made is not None:
            self.made[call.urn] = answer.made
        found = mismatches(
            [self.form(text) for text in call.errors], [self.form(self._recorded(answer.recorded_form))]
        )
        return [f"{call}: {line}" for line in found]

    def partly_made(self, call: Call) -> list[str]:
        """Store the recorded id of a resource that exists although its Create failed.

        The resource's next Read has the state that the failed Create gave to the engine, so compare that
        state here.
        """
        ours = self.made.pop(call.urn, None)
        if ours is None or call.method != "Read":
            return []
        self.exchange(call.request["id"], ours["id"])
        official = self.form(call.request["properties"])
        return [
            f"{call}: partly made: {line}"
            for line in mismatches(official, self.form(self._recorded(ours["properties"])))
        ]

    def exchange(self, recorded: str, ours: str) -> None:
        """From now on, replace the text `recorded` by the text `ours`.

        For an id of Docker, also replace its short form.
        """
        self.exchanges[recorded] = ours
        if _DOCKER_ID.match(recorded):
            self.exchanges.setdefault(recorded[:12], ours[:12])

    def _learn_ids(self, official: Any, ours: Any) -> None:
        """Store Docker's new ids before the comparison, because other properties contain the ids."""
        if not isinstance(official, dict) or not isinstance(ours, dict):
            return
        for theirs, own in ((official, ours), (official.get("properties", {}), ours.get("properties", {}))):
            if _DOCKER_ID.match(theirs.get("id", "")) and _DOCKER_ID.match(own.get("id", "")):
                self.exchange(theirs["id"], own["id"])

    def _learn(self, official: Any, ours: Any) -> None:
        """After the comparison, store the other pairs of a recorded value and our value."""
        if isinstance(official, dict) and isinstance(ours, dict):
            for key in official.keys() & ours.keys():
                self._learn(official[key], ours[key])
        elif isinstance(official, str) and isinstance(ours, str) and self._worth_learning(official, ours):
            self.exchange(official, ours)

    def _worth_learning(self, official: str, ours: str) -> bool:
        placeholder = official.startswith("<") and official != "<EC PRIVATE KEY PEM>"
        known = official in self.exchanges or self._recorded(ours) == official
        return len(official) >= _SHORTEST_LEARNT and not placeholder and not known

    def _ours(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._ours(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._ours(item) for item in value]
        return self._swap(value, self.exchanges) if isinstance(value, str) else value

    def _recorded(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._recorded(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._recorded(item) for item in value]
        back = {ours: recorded for recorded, ours in self.exchanges.items()}
        return self._swap(value, back) if isinstance(value, str) else value

    @staticmethod
    def _swap(text: str, table: dict[str, str]) -> str:
        if text in table:
            return table[text]
        for old in sorted(table, key=len, reverse=True):
            text = text.replace(old, table[old])
        return text
