"""The policy pack: what no stack may do. It judges resources, whoever declares them."""
