"""Private containers: hardened, released without a lost request, and read back from the host."""
