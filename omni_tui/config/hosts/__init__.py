"""The server lists of other hosts: Claude Desktop, Cursor, VS Code and others.

`catalog` knows the hosts; each has a pure reader that says which servers a document describes. `imports`
turns them into specs, `found_files` looks for the files on this machine, and `take_over` writes what the
person chose into their own config. What another host approved is never imported.
"""
