"""Reads back what a host exposes: listening sockets, published ports and firewall rules."""
