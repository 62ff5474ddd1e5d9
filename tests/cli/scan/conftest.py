"""The fixture `wire`: the network over which the tests scan."""

from tests.cli.scan.scan_wire import wire

__all__ = ["wire"]
