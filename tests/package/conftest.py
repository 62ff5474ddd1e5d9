"""Fixtures: the archives of a release, and an environment with the wheel."""

from tests.package.installed import archives, installed

__all__ = ["archives", "installed"]
