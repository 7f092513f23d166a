"""Tools: the catalogue, their names for models, argument and result handling, the executor."""
