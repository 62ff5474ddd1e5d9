"""A whole host: puts the parts together."""
