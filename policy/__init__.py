"""The policy pack: what no stack may do. It judges resources, whoever declares them."""

if __name__ == "policy":
    raise ImportError("import portcullis.policy: the folder policy/ is linked into the package")
