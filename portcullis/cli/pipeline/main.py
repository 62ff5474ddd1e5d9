"""Run a step of a CI pipeline for a stack.

Each step writes its results into the folder --out.

Exit code 0: nothing differs, or the previewed change may be deployed. Exit code 1: the step failed, a host
does not answer, or a policy stops the stack. Exit code 2: `watch` found differences.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.cli import command
from portcullis.cli.pipeline import forge, markdown, preview
from portcullis.cli.report import render
from portcullis.printable import printable

if TYPE_CHECKING:
    import argparse

FOLDER = Path(".portcullis/pipeline")
COMMENT = "comment.md"
_LONGEST_PAGE = 64 << 10
"""The most characters of a comment that another job has written. GitHub has the same limit."""
_WRITTEN = (COMMENT, "diff.txt", "preview.json", "result.json")
CLEAN, FAILED, DRIFTED = 0, 1, 2


def previewed(stack: str, folder: Path, why: str, base: Path | None) -> int:
    """Preview a stack and write the results. Return 0, or 1 if it failed or a policy stops the stack."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in _WRITTEN:
        (folder / name).unlink(missing_ok=True)
    if base:
        # Imported here because it needs packages, and the job that comments has none.
        from portcullis.cli.pipeline import code_only  # noqa: PLC0415

        seen = code_only.compare(stack, base, Path.cwd(), os.environ, why)
    else:
        seen = preview.look(stack, folder=Path.cwd(), environment=os.environ, code_only=why, policies=True)
    (folder / "diff.txt").write_text(seen.text)
    (folder / "preview.json").write_text(json.dumps(seen.steps))
    result = json.loads(render.of_json(seen.report))
    (folder / "result.json").write_text(
        json.dumps({**result, "code_only": seen.code_only, "stopped": seen.stopped})
    )
    (folder / COMMENT).write_text(printable(markdown.of_preview(seen, source())))
    say(render.text(seen.report).rstrip())
    if seen.verdict:
        say(f"\n{seen.verdict}")
    if seen.stopped:
        say(f"{stack}: a policy stops the stack")
    _summarise((folder / COMMENT).read_text())
    return CLEAN if seen.ok and not seen.stopped else FAILED


def commented(stack: str, folder: Path, number: int) -> int:
    """Write the comment on a pull request. If the comment exists, change it.

    Return the exit code 0.

    Raises:
        ForgeError: the comment could not be written, or the preview's file cannot be used.
    """
    body = _page(folder)
    if body is None:
        # The preview's job ended before it wrote anything. People still have to see that.
        body = (
            f"### Preview of `{stack}`\n\n**There is no preview.** The job ended before the preview began. "
            f"Its log says why.\n\n<sub>{source()}</sub>\n"
        )
    say(forge.of_environment(os.environ).comment(number, markdown.marker("preview", stack), body))
    return CLEAN


def _page(folder: Path) -> str | None:
    """Return the comment that the preview wrote, or None if there is no comment.

    The job of the preview ran the code of a pull request, and this job has a token. So the file is not
    trusted: a symbolic link, for example, could lead to a secret of this job.

    Raises:
        ForgeError: the file is not a comment as we write it.
    """
    path = (folder / COMMENT).absolute()
    for each in _levels(path):
        if each.is_symlink():
            raise forge.ForgeError(
                f"the preview's path {each} is a symbolic link, which the command does not follow"
            )
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise forge.ForgeError(f"the preview's file {path} cannot be read: {error.strerror}") from None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise forge.ForgeError(f"the preview's file {path} is not a regular file")
        data = os.read(fd, 4 * _LONGEST_PAGE)  # a character has at most four bytes in UTF-8
    finally:
        os.close(fd)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = ""
    if len(text) > _LONGEST_PAGE or not text or printable(text) != text:
        limit = f"at most {_LONGEST_PAGE >> 10} KB, without control characters"
        raise forge.ForgeError(f"the preview's file {path} is not valid: it must be text of {limit}")
    return text


def _levels(path: Path) -> list[Path]:
    """Return the levels of a path that the code of a pull request can make.

    These are the levels below the checkout. GitLab's job runs in another folder and names
    the checkout in a variable. If the path is in neither folder, all levels count.
    """
    every = [path, *path.parents]
    checkouts = {Path.cwd(), Path(os.environ.get("CI_PROJECT_DIR") or Path.cwd())}
    return [each for each in every if checkouts & set(each.parents)] or every


def watched(stack: str, folder: Path) -> int:
    """Look for differences and report them in an issue. Return 0 for none, 2 for some, 1 if it failed.

    It also reports merged changes that nobody has deployed. A failed `up` reads changes by hand into the
    state, so they no longer show as made by hand. They are reported, too.

    Outside a pipeline it prints the differences and touches no issue.

    Raises:
        ForgeError: the issue could not be written.
    """
    # Before the preview: if there is nowhere to report to, the preview is useless.
    issues = forge.of_environment(os.environ) if forge.is_pipeline(os.environ) else None
    seen = preview.look(stack, folder=Path.cwd(), environment=os.environ, arguments=["--refresh"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "diff.txt").write_text(seen.text)
    marker = markdown.marker("drift", stack)
    if seen.is_clean:
        again = f"{stack} matches the code again.\n\n<sub>{source()}</sub>"
        closed = issues.settle(marker, again) if issues else ""
        say(f"{stack} matches the code" + (f"; closed {closed}" if closed else ""))
        return CLEAN
    title, body = markdown.of_drift(seen, source())
    say(render.text(seen.report).rstrip())
    say(f"\n{title}" + (f": {issues.report(marker, title, body)}" if issues else ""))
    return DRIFTED if seen.ok else FAILED


def source() -> str:
    """Return the commit and a link to this run, for people; "" outside a pipeline."""
    given = os.environ
    if given.get("GITHUB_ACTIONS"):
        repository = f"{given.get('GITHUB_SERVER_URL')}/{given.get('GITHUB_REPOSITORY')}"
        run = f"{repository}/actions/runs/{given.get('GITHUB_RUN_ID')}"
        commit = given.get("PORTCULLIS_COMMIT") or given.get("GITHUB_SHA", "")
        return f"commit {commit[:12]}, [this run]({run})"
    if given.get("GITLAB_CI"):
        return f"commit {given.get('CI_COMMIT_SHA', '')[:12]}, [this run]({given.get('CI_JOB_URL')})"
    return ""


def _summarise(page: str) -> None:
    """Write the text of the comment into the run's summary on GitHub.

    For a pull request from a fork, only this summary shows the preview.
    """
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        with Path(summary).open("a") as file:
            file.write(page)


def say(text: str) -> None:
    """Print a text to standard output."""
    print(text, flush=True)  # noqa: T201


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    verbs = parser.add_subparsers(dest="verb", required=True)
    look = verbs.add_parser("preview", help="preview a stack; writes comment.md, diff.txt and JSON files")
    look.add_argument(
        "--code-only", default="", metavar="WHY", help="ask no host; the comment gives WHY as the reason"
    )
    look.add_argument(
        "--base", type=command.place, help="with --code-only: a checkout to compare with; needs no state"
    )
    tell = verbs.add_parser("comment", help="write the result of `preview` as a comment, or update it")
    tell.add_argument("--number", type=int, required=True, help="the number of the pull or merge request")
    verbs.add_parser("watch", help="look for differences; opens, changes and closes one issue")
    for verb in verbs.choices.values():
        verb.add_argument("--stack", required=True)
        verb.add_argument(
            "--out", type=command.place, default=FOLDER, help="folder for the results (default: %(default)s)"
        )


def run(options: argparse.Namespace) -> int:
    """Run one step of a pipeline."""
    try:
        if options.verb == "preview":
            if options.base and not options.code_only:
                raise command.Failed("the option --base needs the option --code-only")
            return previewed(options.stack, options.out, options.code_only, options.base)
        if options.verb == "comment":
            return commented(options.stack, options.out, options.number)
        return watched(options.stack, options.out)
    except forge.ForgeError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return FAILED
