"""The command line. Importing the package loads no part of it: `--help` must cost next to nothing."""
