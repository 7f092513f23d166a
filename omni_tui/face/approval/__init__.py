"""Deciding on a call: what is shown of it, when a key counts, and the views that show all of it."""
