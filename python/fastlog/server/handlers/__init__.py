"""One module per API group; `fastlog.server.registry.load_handlers` imports them all."""
