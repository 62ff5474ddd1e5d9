"""Each policy stops the stacks that violate it, accepts the stacks that conform, and explains itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from portcullis.policy import args as policies
from portcullis.policy.catalogue import BY_NAME, POLICIES
from portcullis.policy.model import Policy, Resource
from portcullis.policy.verdict import judge
from tests.policy.policy_examples import EXAMPLES, golden_site

SETTINGS = policies.PolicyArgs()
FILES = Path(__file__).parents[1] / "golden/files"

BAD = [pytest.param(n, s, id=f"{n}-{i}") for n, e in EXAMPLES.items() for i, s in enumerate(e.bad)]
GOOD = [pytest.param(n, s, id=f"{n}-{i}") for n, e in EXAMPLES.items() for i, s in enumerate(e.good)]


def test_every_policy_has_a_violating_and_a_conforming_example() -> None:
    assert set(EXAMPLES) == set(BY_NAME)
    assert all(example.bad and example.good for example in EXAMPLES.values())


def test_the_settings_know_every_policy() -> None:
    assert tuple(policy.name for policy in POLICIES) == policies.NAMES
    assert len(BY_NAME) == len(POLICIES), "two policies have one name"


@pytest.mark.parametrize(("name", "stack"), BAD)
def test_a_policy_stops_the_violating_example(name: str, stack: list[Resource]) -> None:
    stopped = [one for one in judge(stack, SETTINGS) if one.policy == name]
    assert stopped
    for one in stopped:
        assert (one.severity, one.exempt) == (BY_NAME[name].severity, False)
        what, why, fix = one.message.splitlines()
        assert what.endswith(".")
        assert why == f"Why: {BY_NAME[name].why}"
        assert fix == f"Fix: {BY_NAME[name].fix}"
        assert one.resource == "" or what.startswith(f"{one.resource}: ")
        assert "hunter2" not in one.message, "a message does not repeat the secret that it is about"
        assert "UNKNOWN" not in one.message


@pytest.mark.parametrize(("name", "stack"), GOOD)
def test_a_policy_accepts_the_conforming_example(name: str, stack: list[Resource]) -> None:
    assert not [one.what for one in judge(stack, SETTINGS) if one.policy == name]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_the_texts_of_a_policy_are_whole_sentences(policy: Policy) -> None:
    for sentence in (policy.rule, policy.why, policy.fix):
        assert re.fullmatch(r"[A-Z0-9a-z`].*[.]", sentence), sentence
        assert "\n" not in sentence
    assert re.fullmatch(r"[a-z]+(?:-[a-z]+)*", policy.name)


def test_a_policy_checks_either_one_resource_or_the_stack() -> None:
    with pytest.raises(ValueError, match="either `check` or `check_stack`, and not both"):
        Policy("x", "x", "x", "x")


@pytest.mark.parametrize("file", sorted(FILES.glob("nginx.site.*.conf")), ids=lambda file: file.name)
def test_only_rendered_sites_without_tls_are_stopped(file: Path) -> None:
    name = file.name.removeprefix("nginx.site.").removesuffix(".conf")
    verdicts = {one.policy for one in judge([golden_site(name)], SETTINGS)}
    if name.endswith("-http") and not name.startswith("redirect-"):
        assert verdicts == {"site-has-tls"}
    else:
        # This file belongs to a site with `hsts: false`.
        assert verdicts == ({"hsts-floor"} if name == "no-csp" else set())
