"""A form made from a tool's JSON schema: data (`model`), rows (`widgets`) and the whole (`form`)."""
