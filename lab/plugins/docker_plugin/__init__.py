"""The stand-in for the docker plugin."""
