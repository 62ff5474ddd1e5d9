"""Recorded answers of a host, and a stand-in for ssh."""

from tests.canned import canned, fake_ssh

__all__ = ["canned", "fake_ssh"]
