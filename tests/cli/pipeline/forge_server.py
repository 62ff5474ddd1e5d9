"""A server on loopback with GitHub's and GitLab's documented calls for comments and issues.

The server stores comments and issues. Like both services, it answers with pages of a list, with 404 for
unknown things, and with 403 without the token.
"""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

TOKEN = "token-of-the-job"


class ForgeServer:
    """One server for the APIs of GitHub and GitLab.

    The attributes `comments`, `issues` and `notes` list what people and programs have written.
    """

    def __init__(self) -> None:
        self.comments: list[dict[str, Any]] = []
        self.issues: list[dict[str, Any]] = []
        self.notes: list[dict[str, Any]] = []
        self.calls: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def _any(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                split = urlsplit(self.path)
                server.calls.append(f"{self.command} {split.path}")
                query = {key: values[0] for key, values in parse_qs(split.query).items()}
                bearer, private = self.headers["Authorization"], self.headers["PRIVATE-TOKEN"]
                allowed = private == TOKEN or bearer == f"Bearer {TOKEN}"
                code, answer = (
                    server.answer(self.command, split.path, query, body)
                    if allowed
                    else (403, {"message": "no"})
                )
                data = json.dumps(answer).encode()
                self.send_response(code)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = do_PUT = _any  # noqa: N815 - the names that the library calls

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    @property
    def github(self) -> dict[str, str]:
        """The environment variables of a GitHub workflow that uses this server as GitHub's API."""
        return {
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": self.url,
            "GITHUB_REPOSITORY": "acme/infra",
            "GITHUB_SERVER_URL": "https://github.example",
            "GITHUB_RUN_ID": "77",
            "GITHUB_SHA": "0123456789abcdef",
            "GITHUB_TOKEN": TOKEN,
        }

    @property
    def gitlab(self) -> dict[str, str]:
        """The environment variables of a GitLab pipeline that uses this server as GitLab's API."""
        return {
            "GITLAB_CI": "true",
            "CI_API_V4_URL": self.url + "/api/v4",
            "CI_PROJECT_ID": "42",
            "CI_PROJECT_URL": "https://gitlab.example/acme/infra",
            "CI_COMMIT_SHA": "0123456789abcdef",
            "CI_JOB_URL": "https://gitlab.example/job/9",
            "GITLAB_TOKEN": TOKEN,
        }

    def said_by_a_person(self, number: int, body: str) -> None:
        """Add a comment of a person.

        The comment does not count as a comment of our pipeline, whatever its text is.
        """
        self._comment(number, body, "User")

    def _comment(self, number: int, body: str, kind: str = "Bot") -> dict[str, Any]:
        made = {
            "id": len(self.comments) + 1,
            "number": number,
            "body": body,
            "user": {"type": kind},
            "author": {"id": 1 if kind == "Bot" else 2},
            "system": False,
            "html_url": f"https://github.example/pull/{number}#issuecomment-{len(self.comments) + 1}",
        }
        self.comments.append(made)
        return made

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        """Answer one call of an API."""
        routes: list[tuple[str, str, Callable[..., tuple[int, Any]]]] = [
            ("GET", r"/repos/acme/infra/issues/(\d+)/comments", self._comments_of),
            ("POST", r"/repos/acme/infra/issues/(\d+)/comments", self._new_comment),
            ("PATCH", r"/repos/acme/infra/issues/comments/(\d+)", self._edit_comment),
            ("GET", r"/repos/acme/infra/issues", self._open_issues),
            ("POST", r"/repos/acme/infra/issues", self._new_issue),
            ("PATCH", r"/repos/acme/infra/issues/(\d+)", self._edit_issue),
            ("GET", r"/api/v4/user", lambda **_: (200, {"id": 1})),
            ("GET", r"/api/v4/projects/42/merge_requests/(\d+)/notes", self._comments_of),
            ("POST", r"/api/v4/projects/42/merge_requests/(\d+)/notes", self._new_comment),
            ("PUT", r"/api/v4/projects/42/merge_requests/(?:\d+)/notes/(\d+)", self._edit_comment),
            ("GET", r"/api/v4/projects/42/issues", self._open_issues),
            ("POST", r"/api/v4/projects/42/issues", self._new_issue),
            ("PUT", r"/api/v4/projects/42/issues/(\d+)", self._edit_issue),
            ("POST", r"/api/v4/projects/42/issues/(\d+)/notes", self._new_comment),
        ]
        for verb, pattern, act in routes:
            found = re.fullmatch(pattern, path)
            if verb == method and found:
                return act(*(int(part) for part in found.groups()), query=query, body=body)
        return 404, {"message": "Not Found"}

    def _comments_of(self, number: int, *, query: dict[str, str], body: Any) -> tuple[int, Any]:
        del body
        return 200, _page([one for one in self.comments if one["number"] == number], query)

    def _new_comment(self, number: int, *, query: dict[str, str], body: Any) -> tuple[int, Any]:
        del query
        return 201, self._comment(number, body["body"])

    def _edit_comment(self, identity: int, *, query: dict[str, str], body: Any) -> tuple[int, Any]:
        del query
        found = next((one for one in self.comments if one["id"] == identity), None)
        if found is None:
            return 404, {"message": "Not Found"}
        found["body"] = body["body"]
        return 200, found

    def _open_issues(self, *, query: dict[str, str], body: Any) -> tuple[int, Any]:
        del body
        return 200, _page([one for one in self.issues if one["state"] == "open"], query)

    def _new_issue(self, *, query: dict[str, str], body: Any) -> tuple[int, Any]:
        del query
        number = len(self.issues) + 1
        text = body.get("body", body.get("description"))
        made = {
            "number": number,
            "iid": number,
            "title": body["title"],
            "body": text,
            "description": text,
            "state": "open",
            "user": {"type": "Bot"},
            "author": {"id": 1},
            "html_url": f"https://github.example/acme/infra/issues/{number}",
            "web_url": f"https://gitlab.example/acme/infra/-/issues/{number}",
        }
        self.issues.append(made)
        return 201, made

    def _edit_issue(self, number: int, *, query: dict[str, str], body: Any) -> tuple[int, Any]:
        del query
        found = self.issues[number - 1]
        text = body.get("body", body.get("description"))
        if text is not None:
            found |= {"body": text, "description": text}
        found["title"] = body.get("title", found["title"])
        if body.get("state") == "closed" or body.get("state_event") == "close":
            found["state"] = "closed"
        return 200, found


def _page(entries: list[dict[str, Any]], query: dict[str, str]) -> list[dict[str, Any]]:
    size, page = int(query.get("per_page", 20)), int(query.get("page", 1))
    return entries[(page - 1) * size : page * size]
