"""The report: what differs between code and hosts, one line for each thing, for people and for pipelines."""
