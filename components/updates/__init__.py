"""Unattended security updates."""
