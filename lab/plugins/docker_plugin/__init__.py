"""The docker stand-in."""
