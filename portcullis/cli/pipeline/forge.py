"""Write comments and issues on GitHub or GitLab, with a few calls of their APIs.

Each of our comments and issues begins with a marker, an invisible line of HTML. Later runs find the comment
by its marker and change it. So a pull request has one comment for each stack, however often people push.

We do not use `gh` and `glab`: only GitHub's own runners have `gh`, and the Python image of a GitLab job has
neither. `gh` and `glab` would replace only the class `Api`, which has 45 lines. `gh pr comment --edit-last`
changes the last comment of its user, which may be about another stack. So we would still have to find our
comment by marker and author. A third-party action would get a token that may write, and would work on GitHub
only.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TIMEOUT = 30.0
"""Seconds that one call may take."""
_PAGE = 100
_PAGES = 50
"""We search at most this many pages for our comment.

If our comment is on none of these pages, we write a new comment.
"""


class ForgeError(Exception):
    """A comment or issue cannot be written. The error's text gives the reason and a remedy."""


class Forge(Protocol):
    """The service that keeps the project's comments and issues."""

    def comment(self, number: int, marker: str, body: str) -> str:
        """Write our comment on a pull request. If the comment exists, change it.

        Return the comment's address.

        Raises:
            ForgeError: a call failed.
        """
        ...

    def report(self, marker: str, title: str, body: str) -> str:
        """Open an issue with this marker. If one is open already, change it.

        Return the issue's address. Raises `ForgeError`.
        """
        ...

    def settle(self, marker: str, body: str) -> str | None:
        """Close the open issue with this marker, with a comment.

        Returns:
            The issue's address, or None if there is no such issue.

        Raises:
            ForgeError: a call failed.
        """
        ...


@dataclass(frozen=True, slots=True)
class Api:
    """A REST API that speaks JSON.

    Attributes:
        url: the address that each path is appended to.
        headers: the headers of each call. The token is in these headers, and never in an error.
        advice: what the user can do if the service refuses a call.
    """

    url: str
    headers: Mapping[str, str]
    advice: str

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Make one call of the API and return its answer. Raises `ForgeError`."""
        request = urllib.request.Request(  # noqa: S310 - the scheme is checked where the address is read
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={**self.headers, "Content-Type": "application/json", "User-Agent": "portcullis"},
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(300).decode(errors="replace")
            refused = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)
            advice = f"\n  -> {self.advice}" if error.code in refused else ""
            raise ForgeError(
                f"the request {method} {path} failed: {error.code} {error.reason}: {said}{advice}"
            ) from None
        except (OSError, ValueError) as error:
            raise ForgeError(f"the request {method} {path} failed: {error}") from None

    def every(self, path: str) -> Iterator[dict[str, Any]]:
        """Yield the entries of all pages of a list. Raises `ForgeError`."""
        joint = "&" if "?" in path else "?"
        for page in range(1, _PAGES + 1):
            entries = self.call("GET", f"{path}{joint}per_page={_PAGE}&page={page}")
            yield from entries
            if len(entries) < _PAGE:
                return


class GitHub:
    """A repository at GitHub or GitHub Enterprise."""

    def __init__(self, api: str, repository: str, token: str) -> None:
        """`api` is ``GITHUB_API_URL``, `repository` is ``owner/name``."""
        headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        advice = "the job needs `permissions: pull-requests: write` for comments, `issues: write` for issues"
        self._api = Api(f"{api}/repos/{repository}", headers, advice)

    def comment(self, number: int, marker: str, body: str) -> str:
        """Write our comment on a pull request.

        If the comment exists, change it. In GitHub's API, a pull request is an issue.
        """
        path = f"/issues/{number}/comments"
        for found in self._api.every(path):
            if _ours(found, marker):
                return self._write("PATCH", f"/issues/comments/{found['id']}", marker, body)
        return self._write("POST", path, marker, body)

    def report(self, marker: str, title: str, body: str) -> str:
        """Open an issue with this marker. If one is open already, change it."""
        found = self._issue(marker)
        where, method = (f"/issues/{found['number']}", "PATCH") if found else ("/issues", "POST")
        return self._write(method, where, marker, body, title=title)

    def settle(self, marker: str, body: str) -> str | None:
        """Close the open issue with this marker, with a comment."""
        found = self._issue(marker)
        if found is None:
            return None
        self._api.call("POST", f"/issues/{found['number']}/comments", {"body": body})
        self._api.call("PATCH", f"/issues/{found['number']}", {"state": "closed"})
        return str(found["html_url"])

    def _issue(self, marker: str) -> dict[str, Any] | None:
        return next((found for found in self._api.every("/issues?state=open") if _ours(found, marker)), None)

    def _write(self, method: str, path: str, marker: str, body: str, **more: str) -> str:
        return str(self._api.call(method, path, {"body": f"{marker}\n{body}", **more})["html_url"])


class GitLab:
    """A project at GitLab."""

    def __init__(self, api: str, project: str, token: str, page: str) -> None:
        """`api` is ``CI_API_V4_URL``, `project` is ``CI_PROJECT_ID``, `page` is ``CI_PROJECT_URL``."""
        advice = (
            "GITLAB_TOKEN has to be a project access token with the scope api and the role Reporter or more"
        )
        project = urllib.parse.quote(project, safe="")
        self._api = Api(f"{api}/projects/{project}", {"PRIVATE-TOKEN": token}, advice)
        self._users = Api(api, {"PRIVATE-TOKEN": token}, advice)
        self._self: int | None = None
        self._page = page

    def comment(self, number: int, marker: str, body: str) -> str:
        """Write our note on a merge request. If the note exists, change it."""
        path = f"/merge_requests/{number}/notes"
        told = {"body": f"{marker}\n{body}"}
        for found in self._api.every(path):
            if self._is_ours(found, str(found["body"]), marker):
                self._api.call("PUT", f"{path}/{found['id']}", told)
                return f"{self._page}/-/merge_requests/{number}#note_{found['id']}"
        made = self._api.call("POST", path, told)
        return f"{self._page}/-/merge_requests/{number}#note_{made['id']}"

    def report(self, marker: str, title: str, body: str) -> str:
        """Open an issue with this marker. If one is open already, change it."""
        found = self._issue(marker)
        where, method = (f"/issues/{found['iid']}", "PUT") if found else ("/issues", "POST")
        told = {"title": title, "description": f"{marker}\n{body}"}
        return str(self._api.call(method, where, told)["web_url"])

    def settle(self, marker: str, body: str) -> str | None:
        """Close the open issue with this marker, with a note."""
        found = self._issue(marker)
        if found is None:
            return None
        self._api.call("POST", f"/issues/{found['iid']}/notes", {"body": body})
        self._api.call("PUT", f"/issues/{found['iid']}", {"state_event": "close"})
        return str(found["web_url"])

    def _issue(self, marker: str) -> dict[str, Any] | None:
        for found in self._api.every("/issues?state=opened&scope=all"):
            if self._is_ours(found, str(found["description"] or ""), marker):
                return found
        return None

    def _is_ours(self, found: Mapping[str, Any], text: str, marker: str) -> bool:
        """Return whether a note or issue is ours: it has the marker, and the token's user wrote it.

        The marker alone does not prove that a note is ours. Anybody can open an issue with our marker, and
        may close that issue as its author.
        """
        if not text.startswith(marker):
            return False
        if self._self is None:
            self._self = self._users.call("GET", "/user")["id"]
        return bool(found["author"]["id"] == self._self)


def _ours(found: Mapping[str, Any], marker: str) -> bool:
    """Return whether a comment or issue is ours: it has the marker, and a program wrote it.

    A person's comment is never changed, even if it quotes the marker.
    """
    return str(found["body"] or "").startswith(marker) and found["user"]["type"] == "Bot"


def is_pipeline(environment: Mapping[str, str]) -> bool:
    """Return whether a pipeline of GitHub or GitLab runs this process."""
    return bool(environment.get("GITHUB_ACTIONS") or environment.get("GITLAB_CI"))


def of_environment(environment: Mapping[str, str]) -> Forge:
    """Return the service whose pipeline runs this process.

    The environment variables of the pipeline tell whether it is GitHub or GitLab.

    Raises:
        ForgeError: this is no pipeline, or there is no token.
    """
    if environment.get("GITHUB_ACTIONS"):
        token = environment.get("GITHUB_TOKEN", "")
        if not token:
            raise ForgeError(
                "GITHUB_TOKEN is not set\n  -> give the workflow's step `env: GITHUB_TOKEN: "
                "${{ github.token }}`"
            )
        return GitHub(_web(environment, "GITHUB_API_URL"), environment["GITHUB_REPOSITORY"], token)
    if environment.get("GITLAB_CI"):
        token = environment.get("GITLAB_TOKEN", "")
        if not token:
            raise ForgeError(
                "GITLAB_TOKEN is not set\n  -> create a project access token with the scope api, and put it "
                "into a masked CI/CD variable with this name; CI_JOB_TOKEN may not write comments"
            )
        page = environment["CI_PROJECT_URL"]
        return GitLab(_web(environment, "CI_API_V4_URL"), environment["CI_PROJECT_ID"], token, page)
    raise ForgeError(
        "the command runs in neither a GitHub workflow nor a GitLab pipeline, so it writes no comment\n"
        "  -> read the files in the folder that --out names"
    )


def _web(environment: Mapping[str, str], name: str) -> str:
    url = environment.get(name, "")
    if not url.startswith(("https://", "http://")):
        raise ForgeError(f"the variable {name} has the value {url!r}, which is not a web address")
    return url.rstrip("/")
