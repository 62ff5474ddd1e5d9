"""Accounts, keys and sudoers; the login policy."""
