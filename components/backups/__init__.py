"""Backups of stores: what makes them, reads them back and restores them."""
