"""The verbs (`fastlog.verbs`) as tools of the Model Context Protocol, over stdio: `fastlog mcp`."""
