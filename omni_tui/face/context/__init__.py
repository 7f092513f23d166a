"""What the model is told: its window, its system prompt, what the host did for it."""
