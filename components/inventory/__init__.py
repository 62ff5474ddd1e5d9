"""Inventory: finds undeclared files, accounts, packages and other items on a host."""
