"""The map: who reaches what, from the internet to the stores, read from a stack's state."""
