"""The verbs of the command `portcullis`. Nothing is imported here: some verbs run without any package."""
