"""Where comments and issues are kept: GitHub or GitLab, by the few calls of their APIs that are needed.

A comment or an issue of ours is known by a marker, a line of HTML that nobody sees, at its start. It is
written once and changed from then on: a pull request has one comment for each stack, however often it is
pushed to.

Why not `gh` and `glab`: only GitHub's own runners come with `gh`, and the Python image of a GitLab job has
neither. They would replace `Api`, 45 lines, and no more: `gh pr comment --edit-last` changes the last comment
of its user, whichever stack that is about, so finding ours by marker and author would stay. An action from
elsewhere would hold a token that may write, and would serve GitHub only.
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
"""More comments than these pages hold are not looked through; a new comment is written then."""


class ForgeError(Exception):
    """A call failed; the text says which, why, and what to do."""


class Forge(Protocol):
    """What a pipeline tells people, wherever the project is kept."""

    def comment(self, number: int, marker: str, body: str) -> str:
        """Write or change our comment at a pull request; return its address.

        Raises:
            ForgeError: a call failed.
        """
        ...

    def report(self, marker: str, title: str, body: str) -> str:
        """Open the one issue with this marker, or change it; return its address. Raises `ForgeError`."""
        ...

    def settle(self, marker: str, body: str) -> str | None:
        """Close the open issue with this marker and say why; return its address, None where there is none.

        Raises:
            ForgeError: a call failed.
        """
        ...


@dataclass(frozen=True, slots=True)
class Api:
    """Calls of a REST API that speaks JSON.

    Attributes:
        url: what every path is appended to.
        headers: sent with each call; the token is among them, and in no error.
        advice: what to do when it refuses.
    """

    url: str
    headers: Mapping[str, str]
    advice: str

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Make one call and return what it answers. Raises `ForgeError`."""
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
            raise ForgeError(f"{method} {path}: {error.code} {error.reason}: {said}{advice}") from None
        except (OSError, ValueError) as error:
            raise ForgeError(f"{method} {path}: {error}") from None

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
        """Write or change our comment at a pull request, which is an issue to this API."""
        path = f"/issues/{number}/comments"
        for found in self._api.every(path):
            if _ours(found, marker):
                return self._write("PATCH", f"/issues/comments/{found['id']}", marker, body)
        return self._write("POST", path, marker, body)

    def report(self, marker: str, title: str, body: str) -> str:
        """Open the one issue with this marker, or change it."""
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
        """Write or change our note at a merge request."""
        path = f"/merge_requests/{number}/notes"
        told = {"body": f"{marker}\n{body}"}
        for found in self._api.every(path):
            if self._is_ours(found, str(found["body"]), marker):
                self._api.call("PUT", f"{path}/{found['id']}", told)
                return f"{self._page}/-/merge_requests/{number}#note_{found['id']}"
        made = self._api.call("POST", path, told)
        return f"{self._page}/-/merge_requests/{number}#note_{made['id']}"

    def report(self, marker: str, title: str, body: str) -> str:
        """Open the one issue with this marker, or change it."""
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
        """Whether a note or issue is ours: by its marker, and written with this token.

        Anybody may write the marker, and who opened an issue may close it.
        """
        if not text.startswith(marker):
            return False
        if self._self is None:
            self._self = self._users.call("GET", "/user")["id"]
        return bool(found["author"]["id"] == self._self)


def _ours(found: Mapping[str, Any], marker: str) -> bool:
    """Whether a comment or issue is ours: by its marker, and written by a program.

    A person who quotes the marker keeps what they wrote.
    """
    return str(found["body"] or "").startswith(marker) and found["user"]["type"] == "Bot"


def is_pipeline(environment: Mapping[str, str]) -> bool:
    """Return whether a forge runs this."""
    return bool(environment.get("GITHUB_ACTIONS") or environment.get("GITLAB_CI"))


def of_environment(environment: Mapping[str, str]) -> Forge:
    """Return the forge whose pipeline this is, by the variables that it sets.

    Raises:
        ForgeError: none is known, or there is no token.
    """
    if environment.get("GITHUB_ACTIONS"):
        token = environment.get("GITHUB_TOKEN", "")
        if not token:
            raise ForgeError(
                "there is no GITHUB_TOKEN\n  -> give the step `env: GITHUB_TOKEN: ${{ github.token }}`"
            )
        return GitHub(_web(environment, "GITHUB_API_URL"), environment["GITHUB_REPOSITORY"], token)
    if environment.get("GITLAB_CI"):
        token = environment.get("GITLAB_TOKEN", "")
        if not token:
            raise ForgeError(
                "there is no GITLAB_TOKEN\n  -> make a project access token with the scope api, and a masked "
                "CI/CD variable of that name; CI_JOB_TOKEN may not write comments"
            )
        page = environment["CI_PROJECT_URL"]
        return GitLab(_web(environment, "CI_API_V4_URL"), environment["CI_PROJECT_ID"], token, page)
    raise ForgeError(
        "this is neither a GitHub workflow nor a GitLab pipeline\n  -> read the files it wrote instead"
    )


def _web(environment: Mapping[str, str], name: str) -> str:
    url = environment.get(name, "")
    if not url.startswith(("https://", "http://")):
        raise ForgeError(f"{name}={url!r} is no web address")
    return url.rstrip("/")
