"""How bytes reach a server: a child process, or HTTP."""
