"""The provider plugin: it serves every host resource to Pulumi's engine."""
