"""The policy pack: rules for every stack, for the resources of our components and of other code."""

if __name__ == "policy":
    raise ImportError(
        "the folder policy/ is not a package: import portcullis.policy, which is a link to this folder"
    )
