"""Commands and what carries them out, a module for each subject. `command_router` has the table."""
