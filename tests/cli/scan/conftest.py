"""The cable that the tests of the gate ask over."""

from tests.cli.scan.scan_wire import wire

__all__ = ["wire"]
