"""One module per API group; `fastlog.server.requests.registry.load_handlers` imports them all."""
