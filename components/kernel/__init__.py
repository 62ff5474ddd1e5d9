"""The kernel settings of a host."""
