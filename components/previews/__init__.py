"""The preview key, which may read a host but not change it."""
