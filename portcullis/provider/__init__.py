"""The provider plugin `pulumi-resource-portcullis`: it serves every host resource to Pulumi's engine.

`base` says what a provider of one kind is, `servicer` puts all of them on the wire, `schema` describes them.
"""
