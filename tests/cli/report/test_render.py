"""A report is short, and each difference is one row on a terminal."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len

from portcullis.cli.report import render
from portcullis.cli.report.render import Row
from portcullis.cli.report.terminal import Screen, laid_out
from tests.cli.report.streams import CONTAINER, Stream, drifted

if TYPE_CHECKING:
    from portcullis.cli.report.differences import Report

FILE = {"path": "/etc/motd", "content": "one\n", "mode": "0644"}


def keys(count: int) -> Report:
    """Return a report with `count` undeclared keys, with warnings, and with a reload as a consequence."""
    user = {"user": "deploy", "keys": {"laptop": "a"}}
    live = {**user, "keys": {**user["keys"], **{f"SHA256:{n:04}{'x' * 60}": "b" for n in range(count)}}}  # type: ignore[dict-item]
    unit = {"unit": "ssh.service", "active": "active", "reads": {}, "stale": False}
    stream = Stream().thing("User", "deploy", user, live if count else user, user)
    stream.thing("Service", "ssh", unit, {**unit, "stale": True} if count else unit, unit)
    if count:
        stream.thing("File", "new", None, None, FILE)
    for number in range(9):
        stream.said(f"something to think about, number {number}\nwith more", "warning", f"n{number}")
    return stream.report()


@pytest.mark.parametrize("count", [0, 1, 20, 80])
@pytest.mark.parametrize("width", [None, 80])
def test_n_differences_take_at_most_n_plus_ten_lines(count: int, width: int | None) -> None:
    report = keys(count)
    assert len(report.differences) == count + bool(count)
    said = io.StringIO()
    Screen(said, width).show(render.rows(report, more="portcullis preview --details"))
    lines = said.getvalue().splitlines()
    assert len(lines) <= count + 1 + 10 if count else len(lines) <= 10
    assert sum("SHA256:" in line for line in lines) == count
    if width:
        assert max(map(cell_len, lines)) <= width


def test_a_quiet_host_is_one_line() -> None:
    report = Stream().thing("File", "motd", FILE, FILE, FILE).report()
    assert render.text(report) == "web1: no differences in 1 resource (8 s)\n"


def test_a_host_that_somebody_changed() -> None:
    assert (
        render.text(drifted().report())
        == """\
web1: 7 changes made by hand, 0 changes in your code (8 s)
  !! /etc/sudoers.d/mallory: gives root rights: mallory ALL=(ALL) NOPASSWD: ALL — up removes it
  !! deploy: key "evil" added — up removes it
  !! forward filter: is not loaded: containers can be reached — up loads it
  !! tcp4 172.17.0.1:3306: published by container "leak" — stays; remove it yourself: docker rm -f leak
  !! ufw: 9200/tcp allowed — up removes it
   ! api: container is gone — up starts it
   ! nginx.service: stopped — up starts it
2 more differences follow from these
"""
    )


def test_changes_by_hand_and_changes_in_the_code_have_a_heading_each() -> None:
    said = render.text(drifted().thing("File", "motd", None, None, FILE).report())
    assert said.splitlines()[1] == "made by hand"
    assert "in your code\n     /etc/motd: new — up creates it\n" in said


def test_many_equal_differences_of_a_kind_share_a_line() -> None:
    stream = Stream()
    for number in range(21):
        stream.thing("File", f"f{number:02}", None, None, {**FILE, "path": f"/etc/f{number:02}"})
    said = render.text(stream.report())
    assert "     21 x File, new: /etc/f00, /etc/f01, /etc/f02, … — up creates it\n" in said
    assert len(said.splitlines()) == 2
    assert "/etc/f20: new" in render.text(stream.report(), details=True)


def test_each_difference_that_opens_the_host_has_its_own_line() -> None:
    stream = Stream()
    for number in range(21):
        secret = {**FILE, "path": f"/etc/s{number:02}", "secret": True, "mode": "0400"}
        stream.thing("File", f"s{number:02}", secret, {**secret, "mode": "0444"}, secret)
    said = render.text(stream.report())
    assert said.count("  !! /etc/s") == 21


def test_a_remedy_longer_than_the_terminal_is_cut_and_the_difference_stays_readable() -> None:
    row = Row(
        "/etc/cron.d/evil: file 0644 root:root", f"stays; remove it yourself: rm /etc/{'x' * 200}", "!!"
    )
    (line,) = laid_out([row], 80)
    assert cell_len(line.plain) <= 80
    assert line.plain.startswith("  !! /etc/cron.d/evil: file")
    assert row.plain().endswith("x" * 200)


def test_details_show_each_property_and_the_differences_that_follow() -> None:
    stream = drifted().thing("File", "motd", FILE, {**FILE, "content": "one\nevil\n", "mode": "0666"}, FILE)
    lines = render.text(stream.report(), details=True).splitlines()
    assert "          -evil" in lines
    assert "        mode: 0666 → 0644" in lines
    assert "differences that follow from these" in lines


def test_at_eighty_columns_quoted_text_is_cut_and_a_command_to_paste_is_not() -> None:
    exposure = {"listeners": {}, "published": {}, "passes": {}, "networks": {}}
    owner = f'container "leak" ({"very-" * 20}long:1)'
    live = {**exposure, "published": {"tcp4 172.17.0.1:3306": owner}}
    (_, row, *_) = laid_out(
        render.rows(Stream().thing("Exposure", "e", exposure, live, exposure).report()), 80
    )
    assert row.plain.endswith("  stays; remove it yourself: docker rm -f leak")
    assert "…" in row.plain
    assert cell_len(row.plain) <= 80


def test_two_hosts_are_named_on_each_line() -> None:
    stream = Stream().thing("File", "a", FILE, {**FILE, "content": "x"}, FILE)
    other = {**FILE, "host": "web2"}
    stream.thing("File", "b", other, {**other, "mode": "0600"}, other)
    said = render.text(stream.report())
    assert said.startswith("web1, web2: 2 changes made by hand")
    assert "web2: /etc/motd: mode 0600, declared 0644" in said


def test_no_urn_is_shown() -> None:
    api = {"name": "api", "memory": 256}
    stream = drifted().thing(CONTAINER, "x", api, {**api, "dns": []}, {**api, "memory": 512})
    for details in (False, True):
        assert "urn:" not in render.text(stream.report(), details=details)


def test_an_error_is_shown_alone() -> None:
    report = drifted().said('web1: File "a" (/etc/a): cannot be read').report()
    assert render.text(report) == 'error: web1: File "a" (/etc/a): cannot be read\n'
    assert json.loads(render.of_json(report))["result"] == "error"


def test_json_is_for_programs() -> None:
    found = json.loads(render.of_json(drifted().report()))
    assert found["result"] == "differences"
    first = found["differences"][1]
    assert (first["subject"], first["severity"], first["by_hand"], first["mine"]) == (
        "deploy",
        "!!",
        True,
        False,
    )
    assert first["urn"].endswith("::web1-deploy")


def test_the_addresses_of_the_sites() -> None:
    served = {"unit": "nginx.service", "sites": {"a.example": "served", "b.example": "served"}}
    served["probes"] = {"a.example": {"tls": True}, "b.example": {"tls": False}}  # type: ignore[assignment]
    report = Stream().thing("ServedSites", "s", served, served, served).report()
    assert report.sites == ("https://a.example", "http://b.example")
