"""The table of what a change touches fits the repository, and a base that cannot be used is told."""

from __future__ import annotations

import subprocess
import tomllib
from typing import TYPE_CHECKING

import pytest

from tests.stories import FILES
from tools.impact import NoBaseError, changed, matches, touched
from tools.steps import ROOT

if TYPE_CHECKING:
    from pathlib import Path

IMPACT = tomllib.loads((ROOT / "tests/impact.toml").read_text())
STORIES = tomllib.loads((ROOT / "tests/stories.toml").read_text())
HOSTED = {*STORIES["stories"], *STORIES["others"]}
DRILLS = ("tests/e2e/docker29/", "tests/e2e/upgrades/", "tests/e2e/torture/test_kills.py")
"""Only other targets than `make test-all` run these."""


def git(folder: Path, *words: str) -> str:
    # The person who runs the tests may sign each commit, or have hooks.
    options = ("user.name=a", "user.email=a@example.com", "commit.gpgsign=false", "core.hooksPath=/dev/null")
    argv = ["git", *(word for option in options for word in ("-c", option)), *words]
    return subprocess.run(argv, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def tracked() -> list[str]:
    return git(ROOT, "ls-files").splitlines()


@pytest.mark.parametrize("pattern", IMPACT)
def test_a_pattern_matches_a_tracked_path_and_names_tests_with_hosts(pattern: str) -> None:
    assert any(matches(path, pattern) for path in tracked())
    for entry in IMPACT[pattern]:
        assert any(matches(file, entry) for file in HOSTED), entry


def test_each_path_outside_of_the_tests_has_a_pattern() -> None:
    paths = (path for path in tracked() if not path.startswith("tests/"))
    assert [path for path in paths if not any(matches(path, pattern) for pattern in IMPACT)] == []


def test_each_file_with_hosts_is_known_and_some_pattern_leads_to_it(request: pytest.FixtureRequest) -> None:
    """In a run of all tests the collection has each file with a host, and alone this knows those of e2e/."""
    found = {path for path in tracked() if path.startswith("tests/e2e/") and "/test_" in path}
    found |= request.config.stash[FILES]
    assert {file for file in found if not file.startswith(DRILLS)} - HOSTED == set()
    entries = [entry for entries in IMPACT.values() for entry in entries]
    assert [file for file in HOSTED if not any(matches(file, entry) for entry in entries)] == []
    assert all((ROOT / file).is_file() for file in HOSTED)
    assert HOSTED.issuperset(STORIES["nightly"])


def test_a_story_that_is_a_part_has_the_seconds_of_its_whole_file() -> None:
    for file, story in STORIES["stories"].items():
        is_part = "only" in story or "through" in story
        assert ("whole" in story) == is_part, file
        assert story.get("whole", 1e9) > story["seconds"], file


@pytest.mark.parametrize(
    ("path", "pattern", "expected"),
    [
        ("docs/stores/redis.md", "docs/**", True),
        ("docs", "docs/**", False),
        ("docs2/page.md", "docs/**", False),
        ("portcullis/main.py", "portcullis/*", True),
        ("portcullis/cli/main.py", "portcullis/*", False),
    ],
)
def test_a_pattern_ends_at_a_folder_or_names_all_of_it(path: str, pattern: str, expected: bool) -> None:  # noqa: FBT001
    assert matches(path, pattern) == expected


def test_a_path_touches_what_the_table_says_a_test_itself_and_a_helper_its_folder() -> None:
    hosted = {"tests/e2e/edge/test_a.py": 1, "tests/e2e/edge/test_b.py": 2, "tests/e2e/data/test_c.py": 3}
    table = {"components/nginx/**": ["tests/e2e/edge/test_a.py"], "components/**": ["tests/e2e/data/**"]}
    assert touched(["components/nginx/render.py"], table, hosted) == {
        "tests/e2e/edge/test_a.py": "components/nginx/render.py",
        "tests/e2e/data/test_c.py": "components/nginx/render.py",
    }
    assert list(touched(["tests/e2e/edge/test_b.py"], table, hosted)) == ["tests/e2e/edge/test_b.py"]
    assert list(touched(["tests/e2e/edge/edge.py"], table, hosted)) == list(hosted)[:2]
    assert list(touched(["tests/e2e/project.py"], table, hosted)) == list(hosted)
    assert list(touched(["tests/e2e/edge/pages/a.html"], table, hosted)) == list(hosted)[:2]
    assert touched(["tests/drill.py", "tests/components/nginx/pages.py", "README.md"], table, hosted) == {}


def test_what_stands_first_in_the_table_comes_first_and_then_the_short_ones() -> None:
    hosted = {"tests/e2e/edge/test_a.py": 9, "tests/e2e/edge/test_b.py": 2, "tests/e2e/edge/test_c.py": 1}
    table = {"nginx/**": ["tests/e2e/edge/test_a.py", "tests/e2e/edge/**"], "x": ["tests/e2e/edge/**"]}
    assert [path[-4] for path in touched(["nginx/a"], table, hosted)] == ["a", "c", "b"]
    assert [path[-4] for path in touched(["x"], table, hosted)] == ["c", "b", "a"]
    assert [path[-4] for path in touched(["nginx/a", "x"], table, hosted)] == ["c", "b", "a"]


class TestChanged:
    @pytest.fixture
    def checkout(self, tmp_path: Path) -> Path:
        """A repository whose base is its first commit."""
        checkout = tmp_path / "checkout"
        checkout.mkdir()
        git(checkout, "init", "--quiet", "--initial-branch", "main")
        (checkout / ".ci").mkdir()
        (checkout / ".gitignore").write_text("ignored\n")
        (checkout / "moved").write_text("text\n" * 9)
        self.commit(checkout)
        (checkout / ".ci/base").write_text(f"{git(checkout, 'rev-parse', 'HEAD')}\n")
        return checkout

    def commit(self, checkout: Path) -> None:
        git(checkout, "add", "--all")
        git(checkout, "commit", "--quiet", "--message", "a change")

    def test_it_has_what_is_committed_and_what_is_not_and_both_paths_of_a_move(self, checkout: Path) -> None:
        git(checkout, "mv", "moved", "a page.md")
        self.commit(checkout)
        (checkout / "ignored").touch()
        (checkout / "new").touch()
        (checkout / ".gitignore").write_text("ignored\n# more\n")
        assert changed(checkout) == [".ci/base", ".gitignore", "a page.md", "moved", "new"]

    def test_a_commit_that_is_no_ancestor_is_refused(self, checkout: Path) -> None:
        git(checkout, "checkout", "--quiet", "--orphan", "other")
        self.commit(checkout)
        with pytest.raises(NoBaseError, match="no ancestor of this commit"):
            changed(checkout)

    def test_a_commit_that_a_shallow_clone_lacks_is_refused(self, checkout: Path, tmp_path: Path) -> None:
        self.commit(checkout)
        git(tmp_path, "clone", "--quiet", "--depth", "1", checkout.as_uri(), "shallow")
        with pytest.raises(NoBaseError, match="git does not know"):
            changed(tmp_path / "shallow")

    @pytest.mark.parametrize("text", ["", "no-commit"])
    def test_what_is_no_commit_is_refused(self, checkout: Path, text: str) -> None:
        (checkout / ".ci/base").write_text(text)
        with pytest.raises(NoBaseError):
            changed(checkout)

    def test_no_file_is_refused(self, checkout: Path) -> None:
        (checkout / ".ci/base").unlink()
        with pytest.raises(NoBaseError, match="missing or empty"):
            changed(checkout)
