"""Secrets: generated values, and files that one container can read."""
