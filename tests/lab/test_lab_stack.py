"""The lab updates its own facts in Pulumi.lab.yaml, and does not change other lines."""

from __future__ import annotations

import pytest

from lab import stack
from lab.errors import LabError

FACTS = {"address of web1": "198.51.100.10", "image hello:1": "198.51.100.2:5000/hello@sha256:ab"}


def test_only_marked_values_change() -> None:
    text = (
        "encryptionsalt: v1:abc=\n"
        "config:\n"
        "  hosts:\n"
        "    web1:\n"
        "      address: 10.0.0.1   # lab: address of web1\n"
        "      port: 2222  # mine\n"
        '      image: "x@sha256:0"  # lab: image hello:1\n'
    )
    renewed, changes = stack.renew(text, FACTS.__getitem__)
    assert renewed == text.replace("10.0.0.1", '"198.51.100.10"').replace(
        "x@sha256:0", "198.51.100.2:5000/hello@sha256:ab"
    )
    assert len(changes) == 2
    assert stack.renew(renewed, FACTS.__getitem__) == (renewed, [])


def test_a_line_that_lost_its_mark_belongs_to_the_person() -> None:
    text = "address: 192.0.2.9\n# lab: address of web1\n"
    assert stack.renew(text, FACTS.__getitem__) == (text, [])


def test_every_fact_of_the_template_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def ask(name: str) -> str:
        asked.append(name)
        return "value"

    _, changes = stack.renew(stack.TEMPLATE.read_text(), ask)
    assert len(changes) == len(asked) == 11
    monkeypatch.setattr(stack.machine, "find", lambda name: (_ for _ in ()).throw(LabError(f"no {name}")))
    monkeypatch.setattr(stack.catalogue, "reference", lambda tagged: f"registry/{tagged}")
    monkeypatch.setattr(stack.shop, "site", lambda: "/srv/site")
    for name in asked:
        try:
            assert stack.fact(name)
        except LabError as error:
            assert error.what == "no web1"  # noqa: PT017


def test_an_unknown_fact_says_which_there_are() -> None:
    with pytest.raises(LabError, match=r"login public key, .*image NAME:TAG"):
        stack.fact("weather")
