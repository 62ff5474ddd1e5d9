"""MongoDB: a store in which each user has only the rights that it needs."""
