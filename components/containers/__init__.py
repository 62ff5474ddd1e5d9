"""Private containers: hardened, released without a lost request, read back."""
