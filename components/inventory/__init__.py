"""Reads back what is on a host besides what its packages and the settings put there."""
