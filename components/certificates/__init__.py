"""Certificates: certbot with an ACME authority, and an authority of our own."""
