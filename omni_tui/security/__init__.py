"""Guards at the edges: text made safe to show, secrets kept out of what is written down."""
