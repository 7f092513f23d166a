"""Plugins: their interface (`api`), and how they are found, checked and installed. Imports nothing."""
