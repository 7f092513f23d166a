"""What can be observed of the engine: its log and the statistics of tool calls."""
