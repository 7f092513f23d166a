"""The command line. Importing the room loads no part of it: `--help` must cost next to nothing."""
