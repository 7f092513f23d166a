"""The screens: the main one, and those that open on a key and close on Esc."""
