"""The firewall: ufw for the host, a forward filter for its containers."""
