"""Makes examples: damaged copies of real samples, and arbitrary values."""

from __future__ import annotations

import copy
import json
import unicodedata
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

NASTY = (
    "\0", "\n", "\r", "\r\n", "\t", "\v", "\f", "\x1c", "\x85", "\u2028", "\u00a0", "\x7f", "\x9b",
    "\x1b[2J\x1b[31m", "\x1b]52;c;ZXZpbA==\a", "\u202e", "\u200b", "\ufeff", "\u0661", "\u00b2", "\u212a",
    "\ud800", "\udce9", "\U0001f600", '"', "'", "`", "\\", "$(id)", "${x}", "%", "%n", "#", ";", "{", "}", "[",
    "]", "(", "|", "&", "<", ">", "!", "*", "?", "=", ":", ",", ".", "/", "../", "-", "--", "-1", "0", "00",
    "1e999", "9" * 5000, "0x1f", "NaN", " ", "  ", "::stop-commands::x", "<script>", "-->", "```", "{{", "}}",
)  # fmt: skip
"""Texts that have a meaning in some syntax, or break code that does not expect them."""

_pieces = st.sampled_from(NASTY) | st.text(max_size=4)
_edits = st.lists(
    st.tuples(st.integers(0, 3), st.floats(0, 1), st.integers(0, 30), _pieces), min_size=0, max_size=6
)


def _spoilt(sample: Any, edits: list[tuple[int, float, int, str]]) -> Any:
    """Insert, remove, replace or repeat pieces of a text or of bytes."""
    for what, where, size, piece in edits:
        at = int(where * len(sample))
        new = piece.encode("utf-8", "surrogatepass") if isinstance(sample, bytes) else piece
        here = sample[at : at + size]
        if what == 0:
            sample = sample[:at] + new + sample[at:]
        elif what == 1:
            sample = sample[:at] + sample[at + size :]
        elif what == 2:
            sample = sample[:at] + new + sample[at + size :]
        else:
            sample = sample[:at] + here + sample[at:] + here
    return sample


def texts(*samples: str) -> st.SearchStrategy[str]:
    """Return damaged samples, and arbitrary text."""
    anything = st.lists(_pieces, max_size=8).map("".join)
    return st.builds(_spoilt, st.sampled_from(samples), _edits) | anything if samples else anything


def blobs(*samples: bytes) -> st.SearchStrategy[bytes]:
    """Return arbitrary bytes, and damaged samples."""
    if not samples:
        return st.binary(max_size=300)
    flips = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6)
    return st.builds(_spoilt, st.sampled_from(samples), _edits) | st.builds(
        _flipped, st.sampled_from(samples), flips
    ) | st.binary(max_size=300)  # fmt: skip


def _flipped(sample: bytes, flips: list[tuple[float, int]]) -> bytes:
    found = bytearray(sample)
    for where, value in flips:
        if found:
            found[min(int(where * len(found)), len(found) - 1)] = value
    return bytes(found)


def _deep(depth: int) -> Any:
    found: Any = {}
    for _ in range(depth):
        found = [found]
    return found


_leaves = (
    st.none() | st.booleans() | st.integers() | st.floats() | _pieces
    | st.sampled_from([10**400, -1, 0, 1e308, float("inf"), float("nan"), [], {}, "", [[]], {"": None}])
)  # fmt: skip
values = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_pieces, inner, max_size=4),
    max_leaves=8,
)
"""Any value that JSON can contain."""


def documents(*samples: Any) -> st.SearchStrategy[Any]:
    """Return JSON in the form of a sample, with some values replaced or removed, and also arbitrary JSON."""
    if not samples:
        return values
    changes = st.lists(st.tuples(st.integers(0, 10**6), st.booleans(), values), max_size=4)
    return st.builds(altered, st.sampled_from(samples), changes) | values


def altered(sample: Any, changes: list[tuple[int, bool, Any]]) -> Any:
    """Return JSON with some of its values replaced or removed."""
    root = [copy.deepcopy(sample)]
    for number, gone, new in changes:
        places = list(_places(root))
        holder, key = places[number % len(places)]
        if gone and holder is not root:
            del holder[key]
        else:
            holder[key] = copy.deepcopy(new)
    return root[0]


def _places(value: Any) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from _places(inner)


def per_kind() -> settings:
    """Return Hypothesis settings with a tenth of the examples, for a test that runs for many kinds."""
    return settings(max_examples=max(settings.default.max_examples // 10, 10))  # type: ignore[union-attr]


def printable(text: str) -> bool:
    """Return whether a text has no control and no direction characters except line ends and tabs."""
    kinds = ("Cc", "Cf", "Zl", "Zp", "Cs")
    return all(letter in "\t\n" or unicodedata.category(letter) not in kinds for letter in text)


def is_utf8(text: str) -> bool:
    """Return whether a text can be encoded as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def as_json(value: Any) -> str:
    """Return JSON without escapes, as a careless peer writes it."""
    return json.dumps(value, ensure_ascii=False)
