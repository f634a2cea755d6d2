"""What operators see of a running broker: metrics and health over HTTP (docs/observability.md).

The request path only bumps plain numbers (`fastlog.server.observability.metrics`); everything else
here runs when somebody asks.
"""
