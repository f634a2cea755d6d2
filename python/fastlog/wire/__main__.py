"""Prints a generated codec: `python -m fastlog.wire Metadata response 12`."""

from __future__ import annotations

import sys

from fastlog.wire.api_keys import APIS
from fastlog.wire.compiler import generated_source
from fastlog.wire.messages import request_type, response_type


def main(argv: list[str]) -> int:
    """Writes the source of the named message to standard output; returns the exit status."""
    by_name = {api.name.lower(): key for key, api in APIS.items()}
    if len(argv) != 3 or argv[0].lower() not in by_name or argv[1] not in ("request", "response"):
        sys.stderr.write("usage: python -m fastlog.wire <API name> request|response <version>\n")
        return 2
    key = by_name[argv[0].lower()]
    message = request_type(key) if argv[1] == "request" else response_type(key)
    sys.stdout.write(generated_source(message, int(argv[2])))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
