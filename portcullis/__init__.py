"""The library under the components: settings, renderers, and Linux host state as Pulumi resources."""
