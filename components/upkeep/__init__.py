"""Upkeep: journal, images, time, swap, and messages about failed units."""
