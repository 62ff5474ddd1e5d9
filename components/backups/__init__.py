"""Backups of Redis and MongoDB: the job that makes and restores backups, and the check of their age."""
