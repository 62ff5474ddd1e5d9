"""Fixtures: a recording engine, and canned answers of a host."""

from tests.canned import canned, fake_ssh
from tests.recording_engine import deploy, no_stack_traces

__all__ = ["canned", "deploy", "fake_ssh", "no_stack_traces"]
