"""Fixtures: a recording engine, a host in a temporary folder, and canned answers of a host."""

from tests.canned import canned, fake_ssh
from tests.on_host import client, etc, leftovers, machine, motd, no_waiting_for_the_disk
from tests.recording_engine import deploy, no_stack_traces, project_folder

__all__ = [
    "canned",
    "client",
    "deploy",
    "etc",
    "fake_ssh",
    "leftovers",
    "machine",
    "motd",
    "no_stack_traces",
    "no_waiting_for_the_disk",
    "project_folder",
]
