"""What is on a host beside what its packages and the settings bring, read back."""
