"""Quotas: what users, clients and addresses may use, and for how long who has used more is held up."""
