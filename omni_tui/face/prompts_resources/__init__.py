"""Prompts and resources in the face: a fold over their events, and the screens that show them."""
