"""What people read in a pull request."""

from __future__ import annotations

from dataclasses import replace

from portcullis.cli.pipeline import markdown
from portcullis.cli.pipeline.preview import Preview

DIFF = """\
Previewing update (prod):
  pulumi:pulumi:Stack: (same)
    ~ docker:index/container:Container: (update)
        [urn=urn:pulumi:prod::portcullis::docker:index/container:Container::api]
      ~ memory: 256 => 512
    + portcullis:index:File: (create)
        content: "a - b"
Resources:
    + 1 to create
"""
FAILED = """\
Previewing update (prod):

Diagnostics:
  pulumi:pulumi:Stack (portcullis-prod):
    error: the settings of this stack have 2 faults
      portcullis:hosts.web1.os: "debian-11" is not supported
      portcullis:apps.api.port: missing
  portcullis:index:File (motd):
    error: web1: cannot connect
    error: preview failed
"""


FILLED_IN = """\
    ~ docker:index/container:Container: (refresh)
        [id=ff5b40]
        [urn=urn:pulumi:prod::portcullis::docker:index/container:Container::api-container]
        [provider=urn:pulumi:prod::portcullis::pulumi:providers:docker::web1::859c]
        --outputs:--
      + dns   : []
      ~ mounts: [
          ~ [0]: {
                  + readOnly: false
                }
        ]
"""
STOPPED = """\
    ~ docker:index/container:Container: (refresh)
        [id=ff5b41]
        --outputs:--
      + dns    : []
      ~ mustRun: true => false
    ~ docker:index/container:Container: (refresh)
        [id=ff5b42]
        --outputs:--
      + dns             : []
      ~ networksAdvanced: [
          + [1]: {
                  + name: "by-hand"
                }
        ]
    ~ portcullis:index:File: (refresh)
        [id=motd]
        --outputs:--
      ~ content: "one" => "two"
"""


def preview(text: str = DIFF, *, ok: bool = True, code_only: str = "", **changes: int) -> Preview:
    return Preview("prod", ok=ok, changes=changes, text=text, steps={}, code_only=code_only)


def test_a_change_is_counted_and_shown_in_colours() -> None:
    said = markdown.of_preview(preview(create=1, update=1), "commit abc")
    assert "**1 to create, 1 to change.**" in said
    assert "\n!    ~ docker:index/container:Container: (update)" in said
    assert "\n+    + portcullis:index:File: (create)" in said
    assert 'content: "a - b"' in said
    assert said.rstrip().endswith("<sub>commit abc</sub>")


def test_what_changes_is_named_beside_the_count() -> None:
    base = "urn:pulumi:prod::portcullis::portcullis:index:HardenedHost$portcullis:index:Firewall$"
    policy = f"{base}portcullis:index:UfwPolicy::web1-firewall-policy"
    files = [
        {"op": "create", "urn": f"urn:pulumi:prod::p::docker:index/container:Container::c{n}"}
        for n in range(12)
    ]
    steps = {"steps": [{"op": "refresh", "urn": policy}, {"op": "update", "urn": policy}, *files]}
    said = markdown.of_preview(replace(preview(update=1, create=12), steps=steps), "")
    assert "- to change: `UfwPolicy web1-firewall-policy`\n- to create: `Container c0`, " in said
    assert "`Container c9` and 2 more\n" in said
    assert "- to change: `UfwPolicy" in markdown.of_drift(replace(preview(update=1), steps=steps), "")[1]


def test_a_name_is_no_more_than_a_name() -> None:
    urns = [
        f"urn:pulumi:prod::p::{kinds}docker:index/container:Container::{name}"
        for kinds, name in (("", "fd00::1"), ("a$", "x"), ("b$", "x"), ("", "y " * 40_000))
    ]
    steps = {"steps": [{"op": "create", "urn": urn} for urn in urns]}
    said = markdown.of_preview(replace(preview(create=4), steps=steps), "")
    assert "- to create: `Container fd00::1`, `Container x`, `Container x`, `Container y y" in said
    assert len(said) < 2000


def test_noise_of_the_engine_and_of_dockers_provider_is_left_out() -> None:
    warning = "warning: using pulumi-resource-docker from $PATH"
    said = markdown.quiet(
        f"Previewing update (prod):\n  {warning} at /opt/pulumi-resource-docker\n"
        f"{FILLED_IN}{FILLED_IN}{STOPPED}{FILLED_IN}Resources:\n"
    )
    assert said == f"Previewing update (prod):\n{STOPPED}Resources:\n"


def test_a_pull_request_hides_no_line_by_words_of_the_engine() -> None:
    warning = "warning: using pulumi-resource-docker from $PATH"
    lines = f'      + allow all; # {warning} at /x\n      + content: "allow all; # {warning}"\n'
    # What comes after a block may be further in: a resource of another parent.
    for after in (
        "        + docker:index/container:Container: (create)\n            ports: []\n",
        '        +-docker:index/container:Container: (replace)\n          +-image: "good" => "bad"\n',
        "      pulumi:pulumi:Stack: (same)\n",
    ):
        assert markdown.quiet(f"{lines}{FILLED_IN}{after}") == f"{lines}{after}"


def test_nothing_to_change_is_one_line() -> None:
    said = markdown.of_preview(preview(), "")
    assert "**Nothing to change.**" in said
    assert "<details>" not in said


def test_a_failure_is_explained_with_every_fault_and_without_the_noise() -> None:
    said = markdown.of_preview(preview(FAILED, ok=False), "")
    shown = said.partition("```")[2].partition("```")[0]
    assert "2 faults" in shown
    assert "portcullis:apps.api.port: missing" in shown
    assert "cannot connect" in shown
    assert "preview failed" not in shown


def test_an_output_without_any_error_line_is_shown_by_its_end() -> None:
    assert preview("one\ntwo\nKilled", ok=False).failure == "one\ntwo\nKilled"


def test_code_only_is_said_before_everything_else() -> None:
    said = markdown.of_preview(preview(code_only="it comes from a fork", create=1), "")
    assert said.index("Code only, not the live host:** it comes from a fork") < said.index("to create")


def test_a_long_difference_is_cut_at_a_line_and_says_where_the_rest_is() -> None:
    text = "\n".join(f"    + line {number} " + "x" * 90 for number in range(5000))
    said = markdown.of_preview(preview(text, create=5000), "commit abc")
    assert len(said) < 65_000
    assert "the rest is in diff.txt" in said
    assert said.rstrip().endswith("<sub>commit abc</sub>")
    assert said.count("```") == 2


def test_nothing_in_a_difference_ends_the_block_that_it_stands_in() -> None:
    said = markdown.fenced("before\n```\n</details>\n````\nafter")
    assert said.startswith("`````\n")
    assert said.endswith("\n`````")


def test_a_marker_cannot_be_closed_by_a_name() -> None:
    assert markdown.marker("preview", "a --> b") == "<!-- portcullis preview a-----b -->"


def test_drift_and_a_look_that_failed_have_titles_of_their_own() -> None:
    title, body = markdown.of_drift(preview(update=1), "run 7")
    assert title == "Drift: prod is not what the code says"
    assert "by hand" in body
    assert "run 7" in body
    title, body = markdown.of_drift(preview(FAILED, ok=False), "")
    assert title == "Drift watch: prod could not be read"
    assert "cannot connect" in body


def test_a_policy_that_stops_is_told_before_the_differences() -> None:
    seen = replace(
        preview(create=1), verdict="stop   no-public-bind\n1 resources judged: 1 stop.", stopped=True
    )
    said = markdown.of_preview(seen, "")
    assert said.index("Stopped by a policy") < said.index("no-public-bind") < said.index("<details>")


def test_policies_that_hold_are_one_line_and_what_they_warn_of_is_folded_away() -> None:
    said = markdown.of_preview(replace(preview(), verdict="90 resources judged: 0 stop the stack."), "")
    assert "Policies: 90 resources judged: 0 stop the stack." in said
    assert "<details>" not in said
    said = markdown.of_preview(replace(preview(), verdict="warn   read-only-root\n1 warns."), "")
    assert "<details><summary>Policies: 1 warns.</summary>" in said


def test_a_comment_can_be_posted_however_much_went_wrong() -> None:
    much = "\n".join(f"error: fault {number} " + "x" * 90 for number in range(2000))
    seen = replace(preview(much, ok=False), verdict=much, stopped=True)
    assert len(markdown.of_preview(seen, "commit abc")) < 65_000
    assert len(markdown.of_drift(seen, "")[1]) < 65_000
    seen = replace(
        preview("\n".join(["    + line " + "x" * 90] * 5000), create=1), verdict=much, stopped=True
    )
    assert len(markdown.of_preview(seen, "commit abc")) < 65_000


def test_a_verdict_is_no_markup() -> None:
    seen = replace(preview(), verdict="warn   one\n<b>bold</b>")
    assert "<b>" not in markdown.of_preview(seen, "")
