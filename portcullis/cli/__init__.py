"""The commands that people and pipelines run. Nothing is imported here: some run on a bare Python."""
