"""Who may do what: what each API needs, and what stands between requests and their handlers.

Nothing of it is loaded where there is no authorizer.
"""
