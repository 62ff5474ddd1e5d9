"""Redis: a store with users of least privilege."""
