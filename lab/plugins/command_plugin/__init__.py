"""The command stand-in."""
