"""The configuration: strict, layered, with explained errors. Importing this package loads none of it.

`ui_settings` (standard library only) is for the face; everything else is for the engine.
"""
