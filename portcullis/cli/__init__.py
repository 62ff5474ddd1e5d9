"""The verbs of the command `portcullis`.

This file imports nothing, because some verbs run without any package.
"""
