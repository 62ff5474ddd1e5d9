"""Private containers: hardened containers, releases without a lost request, and each container's state."""
