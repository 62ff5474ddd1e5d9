"""Backups of Redis, MongoDB and PostgreSQL: the job that makes and restores them, and their age's check."""
