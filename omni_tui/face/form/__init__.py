"""A form made from a JSON schema: fields (`schema`), values (`model`), rows and the form itself."""
