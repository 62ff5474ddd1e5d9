"""What a pipeline runs for a stack: `portcullis pipeline preview|comment|drift`.

The workflows under .github/workflows and the file for GitLab are a few lines each; what they do stands here,
where it can be tested and run by hand.
"""
