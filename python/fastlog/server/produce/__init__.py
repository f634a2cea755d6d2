"""One produce request: verdicts, append, acknowledgement."""
