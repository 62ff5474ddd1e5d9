"""nginx as reverse proxy."""
