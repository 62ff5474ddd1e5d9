"""The texts that a pipeline writes into pull requests and issues."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from portcullis.cli.pipeline import markdown
from portcullis.cli.pipeline.preview import Preview
from portcullis.cli.report.differences import Report
from tests.cli.report.streams import Stream, drifted

FILE = {"path": "/etc/motd", "content": "one\ntwo\n", "mode": "0644"}
SETTINGS = (
    'The settings of this stack have 2 faults:\n  portcullis:hosts.web1.os: "debian-11" is not supported'
)


def changed(count: int = 1) -> Stream:
    stream = Stream()
    for number in range(count):
        file = {**FILE, "path": f"/etc/motd-{number}"}
        stream.thing("File", f"motd-{number}", file, file, {**file, "content": f"one\n{'x' * 90} {number}\n"})
    return stream


def preview(stream: Stream | None = None, **more: Any) -> Preview:
    return Preview("prod", (stream or changed()).report(0), **more)


def failed(*errors: str) -> Preview:
    return Preview("prod", Report("prod", errors=errors))


def test_a_change_is_listed_and_its_details_are_folded_and_coloured() -> None:
    said = markdown.of_preview(preview(), "commit abc")
    assert "**`web1: 0 changes made by hand, 1 change in your code`**" in said
    shown, _, folded = said.partition("<details>")
    assert "/etc/motd-0: text differs — up changes it" in shown
    assert "\n-          two\n+          xxx" in folded
    assert said.rstrip().endswith("<sub>commit abc</sub>")


def test_changes_by_hand_come_first_in_a_comment() -> None:
    said = markdown.of_preview(preview(drifted().thing("File", "motd", None, None, FILE)), "")
    block = said.split("```")[1].splitlines()
    assert block[1] == "made by hand"
    assert block[2].startswith("  !! ")
    assert "     /etc/motd: new — up creates it" in block


def test_a_pull_request_can_hide_no_line() -> None:
    """Neither the name of a thing nor its content can inject markup."""
    names = [
        "```", "</details>", "a\nb", "\x1b[2K", "urn:pulumi:x::y", "@everyone", "[x](https://evil.example)",
        "warning: using pulumi-resource-docker from $PATH at /x",
    ]  # fmt: skip
    stream = drifted()
    for name in names:
        stream.thing(
            "File", name, None, None, {**FILE, "path": name, "content": f"{name}\n```\n</details>\n"}
        )
    said = markdown.of_preview(preview(stream), "")
    opened = max((line for line in said.splitlines() if set(line) == {"`"}), key=len)
    shown = said.split(f"\n{opened}\n")[1]
    assert len([line for line in shown.splitlines() if line.endswith("— up creates it")]) == len(names)
    assert '  !! deploy: key "evil" added — up removes it' in shown
    # No part of the text is outside of the code blocks.
    outside = "".join(said.split("`" * len(opened))[::2])
    assert "evil.example" not in outside
    assert "@everyone" not in outside
    assert said.count("<details>") == 1


def test_the_name_of_a_host_cannot_act_as_markup() -> None:
    other = {**FILE, "host": "a` [x](https://evil.example) <b>"}
    said = markdown.of_preview(preview(Stream().thing("File", "x", None, None, other)), "")
    assert "<b>" not in said.splitlines()[2]
    assert said.splitlines()[2].startswith("**`")


def test_nothing_to_change_is_one_line() -> None:
    said = markdown.of_preview(preview(Stream().thing("File", "motd", FILE, FILE, FILE)), "")
    assert "**`web1: no differences in 1 resource`**" in said
    assert "<details>" not in said


def test_a_failure_is_explained_with_every_fault() -> None:
    said = markdown.of_preview(failed(SETTINGS, "web1: cannot connect"), "")
    shown = said.partition("```")[2].partition("```")[0]
    assert "2 faults" in shown
    assert "debian-11" in shown
    assert "cannot connect" in shown


def test_code_only_is_announced_first() -> None:
    said = markdown.of_preview(preview(code_only="it comes from a fork"), "")
    assert said.index("Code only, not the live host:** it comes from a fork") < said.index("/etc/motd-0")


def test_a_long_difference_is_cut_at_a_line_and_says_where_the_rest_is() -> None:
    said = markdown.of_preview(preview(changed(800)), "commit abc")
    assert len(said) < 65_000
    assert "the rest is in diff.txt" in said
    assert said.rstrip().endswith("<sub>commit abc</sub>")
    assert said.count("```") == 4


def test_no_text_can_end_its_code_block() -> None:
    said = markdown.fenced("before\n```\n</details>\n````\nafter")
    assert said.startswith("`````\n")
    assert said.endswith("\n`````")


def test_a_marker_cannot_be_closed_by_a_name() -> None:
    assert markdown.marker("preview", "a --> b") == "<!-- portcullis preview a-----b -->"


def test_drift_and_a_failed_check_have_different_titles() -> None:
    title, body = markdown.of_drift(preview(drifted()), "run 7")
    assert title == "Drift: prod does not match the code"
    assert "7 changes made by hand" in body
    assert '!! deploy: key "evil" added — up removes it' in body
    assert "run 7" in body
    title, body = markdown.of_drift(failed("web1: cannot connect"), "")
    assert title == "Drift watch: prod could not be read"
    assert "cannot connect" in body


def test_a_policy_that_stops_comes_before_the_differences() -> None:
    seen = replace(preview(), verdict="stop   no-public-bind\n1 resources checked: 1 stop.", stopped=True)
    said = markdown.of_preview(seen, "")
    assert said.index("Stopped by a policy") < said.index("no-public-bind") < said.index("<details>")


def quiet() -> Preview:
    return preview(Stream().thing("File", "motd", FILE, FILE, FILE))


def test_passing_policies_are_one_line_and_their_warnings_are_folded() -> None:
    said = markdown.of_preview(replace(quiet(), verdict="90 resources checked: 0 stop the stack."), "")
    assert "Policies: 90 resources checked: 0 stop the stack." in said
    assert "<details>" not in said
    said = markdown.of_preview(replace(quiet(), verdict="warn   read-only-root\n1 warns."), "")
    assert "<details><summary>Policies: 1 warns.</summary>" in said


def test_a_comment_stays_short_enough_with_any_number_of_errors() -> None:
    much = tuple(f"fault {number} " + "x" * 90 for number in range(2000))
    seen = replace(failed(*much), verdict="\n".join(much), stopped=True)
    assert len(markdown.of_preview(seen, "commit abc")) < 65_000
    assert len(markdown.of_drift(seen, "")[1]) < 65_000
    seen = replace(preview(changed(800)), verdict="\n".join(much), stopped=True)
    assert len(markdown.of_preview(seen, "commit abc")) < 65_000
    assert len(markdown.of_drift(seen, "")[1]) < 65_000


def test_a_finding_of_a_policy_cannot_act_as_markup() -> None:
    seen = replace(quiet(), verdict="warn   one\n<b>bold</b>")
    assert "<b>" not in markdown.of_preview(seen, "")
