"""The configuration: strict, layered, explained. Importing the room loads no part of it.

`light` (standard library only) serves the face; everything else belongs to the engine's side.
"""
