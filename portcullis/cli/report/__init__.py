"""The report: the differences between code and hosts, one line for each, for people and for pipelines."""
