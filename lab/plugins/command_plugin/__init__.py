"""The stand-in for the command plugin."""
