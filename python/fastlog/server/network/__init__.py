"""Connections: sockets, frames in and answers out, what each may take, and who is at the other end."""
