"""Fixtures: a host whose files are in a temporary folder."""

from tests.on_host import client, etc, leftovers, machine, motd, no_waiting_for_the_disk

__all__ = ["client", "etc", "leftovers", "machine", "motd", "no_waiting_for_the_disk"]
