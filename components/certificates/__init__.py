"""Certificates: certbot with an ACME authority, and the stack's own authority."""
