"""A pipeline writes one comment for each stack and one issue for drift, on GitHub and on GitLab."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from portcullis.cli.pipeline import markdown
from portcullis.cli.pipeline.forge import Forge, ForgeError, of_environment
from tests.cli.pipeline.forge_server import TOKEN, ForgeServer

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK = markdown.marker("preview", "prod")


@pytest.fixture
def server() -> Iterator[ForgeServer]:
    with ForgeServer() as running:
        yield running


@pytest.fixture(params=["github", "gitlab"])
def forge(request: pytest.FixtureRequest, server: ForgeServer) -> Forge:
    return of_environment(getattr(server, request.param))


def test_a_second_push_changes_the_comment_of_the_first(server: ForgeServer, forge: Forge) -> None:
    first = forge.comment(7, MARK, "one thing to change")
    assert forge.comment(7, MARK, "nothing to change") == first
    assert [one["body"] for one in server.comments] == [f"{MARK}\nnothing to change"]


def test_each_stack_has_its_own_comment(server: ForgeServer, forge: Forge) -> None:
    forge.comment(7, MARK, "prod")
    forge.comment(7, markdown.marker("preview", "staging"), "staging")
    assert len(server.comments) == 2


def test_our_comment_is_found_after_a_hundred_others(server: ForgeServer, forge: Forge) -> None:
    for number in range(130):
        server.said_by_a_person(7, f"remark {number}")
    forge.comment(7, MARK, "first")
    forge.comment(7, MARK, "second")
    assert [one["body"] for one in server.comments[130:]] == [f"{MARK}\nsecond"]


def test_a_person_s_comment_that_quotes_ours_stays_as_it_is(server: ForgeServer, forge: Forge) -> None:
    server.said_by_a_person(7, f"{MARK}\nwhat is this?")
    forge.comment(7, MARK, "a preview")
    assert [one["body"] for one in server.comments] == [f"{MARK}\nwhat is this?", f"{MARK}\na preview"]


def test_drift_is_one_issue_that_changes_and_closes(server: ForgeServer, forge: Forge) -> None:
    mark = markdown.marker("drift", "prod")
    opened = forge.report(mark, "Drift: prod", "a rule too many")
    assert forge.report(mark, "Drift: prod", "two rules too many") == opened
    assert len(server.issues) == 1
    assert "two rules too many" in server.issues[0]["body"]
    assert forge.settle(mark, "no drift any more") == opened
    assert server.issues[0]["state"] == "closed"
    assert server.comments[-1]["body"] == "no drift any more"
    assert forge.settle(mark, "still no drift") is None
    assert forge.report(mark, "Drift: prod", "again") != opened


def test_another_user_s_issue_with_our_marker_is_left_alone(server: ForgeServer, forge: Forge) -> None:
    mark = markdown.marker("drift", "prod")
    forge.report(mark, "theirs", "text")
    server.issues[0] |= {"user": {"type": "User"}, "author": {"id": 2}}
    forge.report(mark, "ours", "text")
    assert [issue["title"] for issue in server.issues] == ["theirs", "ours"]
    forge.settle(mark, "no drift")
    assert [issue["state"] for issue in server.issues] == ["open", "closed"]


@pytest.mark.parametrize("kind", ["github", "gitlab"])
def test_a_refusal_names_the_missing_permission_and_not_the_token(server: ForgeServer, kind: str) -> None:
    environment = getattr(server, kind) | {f"{kind.upper()}_TOKEN": "a-wrong-one"}
    with pytest.raises(ForgeError) as raised:
        of_environment(environment).comment(7, MARK, "text")
    said = str(raised.value)
    assert "403" in said
    assert "pull-requests: write" in said or "project access token" in said
    assert "a-wrong-one" not in said
    assert TOKEN not in said


def test_a_server_that_does_not_answer_is_an_error(server: ForgeServer) -> None:
    environment = server.github | {"GITHUB_API_URL": "http://127.0.0.1:9"}
    with pytest.raises(ForgeError, match="refused"):
        of_environment(environment).comment(7, MARK, "text")


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "neither a GitHub workflow nor a GitLab pipeline"),
        ({"GITHUB_ACTIONS": "true"}, "GITHUB_TOKEN is not set"),
        ({"GITLAB_CI": "true"}, "GITLAB_TOKEN is not set"),
        (
            {
                "GITHUB_ACTIONS": "true",
                "GITHUB_TOKEN": "t",
                "GITHUB_REPOSITORY": "a/b",
                "GITHUB_API_URL": "file:///x",
            },
            "is not a web address",
        ),
    ],
)
def test_a_missing_variable_is_named(environment: dict[str, str], said: str) -> None:
    with pytest.raises(ForgeError, match=said):
        of_environment(environment)
