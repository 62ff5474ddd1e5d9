from __future__ import annotations

import re
import sys
import unicodedata

import pytest

from portcullis.host.errors import HostError
from portcullis.printable import MARK, one_line, printable, printable_values

OSC52 = "\x1b]52;c;cm0gLXJmIC8=\x07"


@pytest.mark.parametrize(
    "text",
    [
        OSC52,
        "\x9b2K",
        "a\rb",
        "\u202egnp.exe",
        "\u2028next",
        "\ud800",
        "<{%fg 1%}>red<{%reset%}>",
        "::stop-commands::x",
        "first\n   ::add-mask::e",
        "::error file=a b.py,line=1::x",
        "log ##[group]x",
        "##vso[task.setvariable variable=a]b",
    ],
)
def test_what_a_terminal_or_a_log_acts_on_is_broken(text: str) -> None:
    shown = printable(text)
    assert MARK in shown
    assert shown == shown.encode("utf-8", "replace").decode()
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u2028]|<{%|##[a-z]*\\[", shown)
    assert not re.search(r"^\s*::[\w-]+.*::", shown, re.MULTILINE)
    # It is as good as new: nothing is left that a second pass would find.
    assert printable(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "::1 localhost ip6-localhost\nfe00::0 ip6-localnet\n",
        "in 80/tcp\tfrom ::/0",
        "größe, 日本, 🙂",
        "## [a link](b)",
        "std::string::npos",
        "{{ .Name }} <%= x %>",
    ],
)
def test_what_nothing_acts_on_stays(text: str) -> None:
    assert printable(text) == text


def test_every_character_that_controls_writing_is_taken_out() -> None:
    kinds = ("Cc", "Cf", "Zl", "Zp", "Cs")
    controls = [
        letter for letter in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(letter) in kinds
    ]
    assert [letter for letter in controls if printable(letter) == letter] == ["\t", "\n"]


def test_one_line_is_one() -> None:
    assert one_line("a\nb\tc\r\n\x0bd") == "a b c   d"


def test_what_was_declared_is_told_as_it_is() -> None:
    known = {"content": OSC52, "keys": {OSC52: "x"}, "argv": [OSC52]}
    assert printable_values(known, known) == known
    assert printable_values({"content": OSC52}) == {"content": printable(OSC52)}
    assert printable_values({"content": OSC52 + "x"}, known) == {"content": printable(OSC52) + "x"}
    assert printable_values({"keys": {OSC52: OSC52}}, known) == {"keys": {OSC52: printable(OSC52)}}
    assert printable_values({"argv": [OSC52, "\x07"]}, known) == {"argv": [OSC52, MARK]}
    assert printable_values({"n": 3, "yes": True, "none": None}) == {"n": 3, "yes": True, "none": None}


def test_no_part_of_an_error_reaches_a_terminal_as_it_came() -> None:
    for part in ("hint", "prop", "detail"):
        assert "\x1b" not in str(HostError("cause", **{part: OSC52}))
    error = HostError("bad " + OSC52, detail="::stop-commands::x\n<{%fg 1%}>")
    assert "\x1b" not in str(error)
    assert "\x1b" not in str(error.args)
    assert f"    {MARK}::stop-commands::x\n    <{MARK}{{%fg 1%}}>" in str(error)
