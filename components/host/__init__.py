"""A whole host: `HardenedHost` puts the parts together."""
