"""The steps of a CI pipeline: `portcullis pipeline preview|comment|watch`.

The workflows under .github/workflows and the file for GitLab only call these verbs. So tests can run the
steps, and people can run them by hand.
"""
