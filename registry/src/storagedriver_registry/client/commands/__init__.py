"""The `dist` command: what the client does, from a shell."""
