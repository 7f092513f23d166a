"""Who decides on tool calls: the gate, its grants, base decisions, pins and cards."""
