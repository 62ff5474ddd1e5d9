"""The provider plugin `pulumi-resource-portcullis`, which serves every host resource to Pulumi's engine.

`base` defines the provider of one kind, `servicer` serves all kinds over gRPC, and `schema` describes them.
"""
