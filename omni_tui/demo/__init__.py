"""The bundled MCP server of `omni-tui demo`."""
