"""A whole host: the component `HardenedHost` composes all parts."""
