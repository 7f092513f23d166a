"""What can be seen of the engine from outside: logs."""
