"""Exposure: the listening sockets, published ports and firewall rules of a host."""
