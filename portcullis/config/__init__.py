"""Reads and checks settings, and reports all faults at once."""
