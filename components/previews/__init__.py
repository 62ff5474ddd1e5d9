"""The preview key: it may read a host, but not change it."""
