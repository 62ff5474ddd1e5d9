"""The stand-in for the tls plugin."""
