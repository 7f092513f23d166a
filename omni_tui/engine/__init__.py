"""The engine: everything but the face."""
