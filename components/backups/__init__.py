"""Backups of stores: the job that makes and restores them, and the check that they are fresh."""
