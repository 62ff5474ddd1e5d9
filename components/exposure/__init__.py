"""What a host exposes: listeners, published ports and firewall rules, read back."""
