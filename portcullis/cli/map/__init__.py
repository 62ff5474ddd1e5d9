"""The map: who reaches what, from the internet to the stores, out of a stack's state."""
