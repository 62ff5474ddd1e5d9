"""nginx as a reverse proxy."""
