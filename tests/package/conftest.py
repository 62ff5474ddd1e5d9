"""Fixtures: the archives, and an environment with the wheel."""

from tests.package.installed import archives, installed

__all__ = ["archives", "installed"]
