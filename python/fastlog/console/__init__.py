"""The web console: the verbs (`fastlog.verbs`) as a JSON API over HTTP, a live tail, and static pages.

A process of its own, `fastlog console`; Starlette and uvicorn come with `pip install fastlog[console]`.
docs/console.md is for users, docs/console-api.md lists the routes.
"""
