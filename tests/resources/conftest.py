"""A host whose files are in a temporary folder, and canned answers of a host."""

from tests.canned import canned, fake_ssh
from tests.on_host import client, etc, leftovers, machine, motd, no_waiting_for_the_disk

__all__ = ["canned", "client", "etc", "fake_ssh", "leftovers", "machine", "motd", "no_waiting_for_the_disk"]
