"""SSH tunnels to stores."""
