"""The face: a Textual app over a `Link`. It never imports the engine, MCP or a model library."""
