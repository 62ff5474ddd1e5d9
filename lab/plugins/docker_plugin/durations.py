"""Reads and writes durations in the form of Go, such as `90s` and `1m30s`."""

from __future__ import annotations

import re

_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_PART = re.compile(r"(\d+(?:\.\d*)?)(ns|us|µs|ms|s|m|h)")


def nanoseconds(text: str) -> int:
    """Read a duration like `time.ParseDuration`.

    Like the official plugin, return 0 for a text that is no duration.
    """
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return 0
    return round(sum(float(number) * _UNITS[unit] for number, unit in parts))


def go_text(duration: int) -> str:
    """Write a number of nanoseconds like Go's `Duration.String`."""
    if duration == 0:
        return "0s"
    if duration < _UNITS["s"]:
        for unit in ("ms", "us", "ns"):
            if duration >= _UNITS[unit]:
                return f"{_decimal(duration, _UNITS[unit])}{'µs' if unit == 'us' else unit}"
    hours, rest = divmod(duration, _UNITS["h"])
    minutes, rest = divmod(rest, _UNITS["m"])
    seconds = f"{_decimal(rest, _UNITS['s'])}s"
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    digits = f"{rest:0{len(str(unit)) - 1}d}".rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)
