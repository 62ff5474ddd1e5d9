"""The code on the host that all stores share."""
