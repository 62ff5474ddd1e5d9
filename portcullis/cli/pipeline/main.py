"""What a pipeline runs for a stack. It writes what it sees into --out.

Exit status: 0, nothing differs, or what a preview shows may be deployed; 1, it failed, or a policy stops the
stack; 2, `watch` found differences.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.cli import command
from portcullis.cli.pipeline import forge, markdown, preview
from portcullis.cli.report import render

if TYPE_CHECKING:
    import argparse

FOLDER = Path(".portcullis/pipeline")
COMMENT = "comment.md"
_WRITTEN = (COMMENT, "diff.txt", "preview.json", "result.json")
CLEAN, FAILED, DRIFTED = 0, 1, 2


def previewed(stack: str, folder: Path, why: str, base: Path | None) -> int:
    """Preview a stack and write down what it says; return 0, or 1 where it failed or a policy stops it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in _WRITTEN:
        (folder / name).unlink(missing_ok=True)
    if base:
        # Here, as the job that comments has no packages installed, and this one needs some.
        from portcullis.cli.pipeline import code_only  # noqa: PLC0415

        seen = code_only.compare(stack, base, Path.cwd(), os.environ, why)
    else:
        seen = preview.look(stack, folder=Path.cwd(), environment=os.environ, code_only=why, judge=True)
    (folder / "diff.txt").write_text(seen.text)
    (folder / "preview.json").write_text(json.dumps(seen.steps))
    result = json.loads(render.of_json(seen.report))
    (folder / "result.json").write_text(
        json.dumps({**result, "code_only": seen.code_only, "stopped": seen.stopped})
    )
    (folder / COMMENT).write_text(markdown.of_preview(seen, source()))
    say(render.text(seen.report).rstrip())
    if seen.verdict:
        say(f"\n{seen.verdict}")
    if seen.stopped:
        say(f"{stack}: stopped by the policy pack")
    _summarise((folder / COMMENT).read_text())
    return CLEAN if seen.ok and not seen.stopped else FAILED


def commented(stack: str, folder: Path, number: int) -> int:
    """Write or change the comment at a pull request; return 0.

    Raises:
        ForgeError: it could not be written, or there is no preview.
    """
    page = folder / COMMENT
    if page.exists():
        body = page.read_text()
    else:
        # The step before this one ended before it could say anything; people still have to learn of it.
        body = (
            f"### Preview of `{stack}`\n\n**There is no preview.** The job ended before it began; "
            f"its log says why.\n\n<sub>{source()}</sub>\n"
        )
    say(forge.of_environment(os.environ).comment(number, markdown.marker("preview", stack), body))
    return CLEAN


def watched(stack: str, folder: Path) -> int:
    """Look for differences and tell people; return 0 for none, 2 for some, 1 where they could not be seen.

    What was merged and has not been deployed is told too. So is what a failed `up` found: the state has that
    already, so it no longer shows as changed by hand.

    Outside a pipeline whoever runs it is told, and no issue is touched.

    Raises:
        ForgeError: people could not be told.
    """
    # Before the look: a watch that can tell nobody is no watch.
    told = forge.of_environment(os.environ) if forge.is_pipeline(os.environ) else None
    seen = preview.look(stack, folder=Path.cwd(), environment=os.environ, arguments=["--refresh"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "diff.txt").write_text(seen.text)
    marker = markdown.marker("drift", stack)
    if seen.is_clean:
        again = f"{stack} is what the code says again.\n\n<sub>{source()}</sub>"
        closed = told.settle(marker, again) if told else ""
        say(f"{stack} is what the code says" + (f"; closed {closed}" if closed else ""))
        return CLEAN
    title, body = markdown.of_drift(seen, source())
    say(render.text(seen.report).rstrip())
    say(f"\n{title}" + (f": {told.report(marker, title, body)}" if told else ""))
    return DRIFTED if seen.ok else FAILED


def source() -> str:
    """Return where this run stands, as people follow it; empty outside a pipeline."""
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
    """Show the page in the run's own summary, which is all that a fork's pull request gets."""
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        with Path(summary).open("a") as file:
            file.write(page)


def say(text: str) -> None:
    """Tell who runs it."""
    print(text, flush=True)  # noqa: T201


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the verb takes."""
    verbs = parser.add_subparsers(dest="verb", required=True)
    look = verbs.add_parser("preview", help="preview a stack; writes comment.md, diff.txt and preview.json")
    look.add_argument("--code-only", default="", metavar="WHY", help="ask no host; say why, for the reader")
    look.add_argument(
        "--base", type=command.place, help="with --code-only: a checkout to compare with; no state is needed"
    )
    tell = verbs.add_parser("comment", help="write what `preview` wrote as a comment, or change that comment")
    tell.add_argument("--number", type=int, required=True, help="of the pull or merge request")
    verbs.add_parser("watch", help="look for differences; opens, changes and closes one issue")
    for verb in verbs.choices.values():
        verb.add_argument("--stack", required=True)
        verb.add_argument(
            "--out", type=command.place, default=FOLDER, help="folder of what is written; %(default)s"
        )


def run(options: argparse.Namespace) -> int:
    """Run one verb."""
    try:
        if options.verb == "preview":
            if options.base and not options.code_only:
                raise command.Failed("--base goes with --code-only")
            return previewed(options.stack, options.out, options.code_only, options.base)
        if options.verb == "comment":
            return commented(options.stack, options.out, options.number)
        return watched(options.stack, options.out)
    except forge.ForgeError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return FAILED
