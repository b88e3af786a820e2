"""The command line, its configuration and its log."""
