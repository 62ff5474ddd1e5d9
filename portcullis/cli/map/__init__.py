"""The map of a stack, read from its state: which clients reach which apps and stores."""
