"""Fixtures: a recording engine."""

from tests.recording_engine import deploy, no_stack_traces

__all__ = ["deploy", "no_stack_traces"]
