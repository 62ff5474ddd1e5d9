"""Stand-ins for the official docker, command and tls plugins, for machines that cannot download those."""
