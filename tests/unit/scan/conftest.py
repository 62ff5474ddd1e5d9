"""The cable that the tests of the gate ask over."""

from scan_wire import wire

__all__ = ["wire"]
