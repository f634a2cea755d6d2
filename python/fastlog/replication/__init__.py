"""Partitions as this broker leads or follows them: who is told, how to append, and where requests wait."""
