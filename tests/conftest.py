"""Fixtures that every part of the suite may use."""

from __future__ import annotations

pytest_plugins = ["lab.pytest_lab"]
