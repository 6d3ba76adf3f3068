"""The `collab` command: one file a subcommand; each only parses, calls and prints."""
