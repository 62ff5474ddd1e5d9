"""Upkeep: journal, images, time, swap, and news of failed units."""
