"""PostgreSQL: a store with databases, and a user of its own for each app."""
