"""The policy pack: rules for every stack. It checks all resources, of our components and of other code."""

if __name__ == "policy":
    raise ImportError("import portcullis.policy instead: the package contains a link to policy/")
