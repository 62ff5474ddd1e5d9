"""What runs on the host for every store."""
