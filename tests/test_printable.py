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
def test_control_sequences_of_terminals_and_logs_are_broken(text: str) -> None:
    shown = printable(text)
    assert MARK in shown
    assert shown == shown.encode("utf-8", "replace").decode()
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u2028]|<{%|##[a-z]*\\[", shown)
    assert not re.search(r"^\s*::[\w-]+.*::", shown, re.MULTILINE)
    # A second pass changes nothing.
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
def test_harmless_text_stays(text: str) -> None:
    assert printable(text) == text


def test_every_control_character_is_replaced() -> None:
    kinds = ("Cc", "Cf", "Zl", "Zp", "Cs")
    controls = [
        letter for letter in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(letter) in kinds
    ]
    assert [letter for letter in controls if printable(letter) == letter] == ["\t", "\n"]


def test_one_line_has_no_line_break() -> None:
    assert one_line("a\nb\tc\r\n\x0bd") == "a b c   d"


def test_declared_texts_stay_unchanged() -> None:
    known = {"content": OSC52, "keys": {OSC52: "x"}, "argv": [OSC52]}
    assert printable_values(known, known) == known
    assert printable_values({"content": OSC52}) == {"content": printable(OSC52)}
    assert printable_values({"content": OSC52 + "x"}, known) == {"content": printable(OSC52) + "x"}
    assert printable_values({"keys": {OSC52: OSC52}}, known) == {"keys": {OSC52: printable(OSC52)}}
    assert printable_values({"argv": [OSC52, "\x07"]}, known) == {"argv": [OSC52, MARK]}
    assert printable_values({"n": 3, "yes": True, "none": None}) == {"n": 3, "yes": True, "none": None}


def test_no_key_of_a_host_ends_in_a_backslash() -> None:
    # The engine cannot read a path with such a key: "missing closing quote in property name".
    host = {"files": {"/home/eve/x\\": "a\\", "/home/eve/\\x": "b"}}
    assert printable_values(host) == {"files": {f"/home/eve/x{MARK}": "a\\", "/home/eve/\\x": "b"}}


def test_every_part_of_an_error_is_made_printable() -> None:
    for part in ("hint", "prop", "detail"):
        assert "\x1b" not in str(HostError("cause", **{part: OSC52}))
    error = HostError("bad " + OSC52, detail="::stop-commands::x\n<{%fg 1%}>")
    assert "\x1b" not in str(error)
    assert "\x1b" not in str(error.args)
    assert f"    {MARK}::stop-commands::x\n    <{MARK}{{%fg 1%}}>" in str(error)
