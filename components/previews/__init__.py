"""The preview key: it reads a host, and changes nothing."""
