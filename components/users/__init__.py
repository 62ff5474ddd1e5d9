"""The users of a host, their keys and their right to become root, and the login policy."""
