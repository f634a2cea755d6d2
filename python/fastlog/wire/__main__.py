"""Prints a generated codec: `python -m fastlog.wire Metadata response 12`."""

from __future__ import annotations

import sys

from fastlog.wire.api_keys import APIS
from fastlog.wire.compiler import generated_source
from fastlog.wire.messages import request_type, response_type


def main(argv: list[str]) -> int:
    """Writes the source of the named message to standard output; returns the exit status."""
    match argv:
        case [name, "request" | "response" as kind, version]:
            for key, api in APIS.items():
                if api.name.lower() == name.lower() and version in map(str, range(api.max_version + 1)):
                    message = request_type(key) if kind == "request" else response_type(key)
                    sys.stdout.write(generated_source(message, int(version)))
                    return 0
    sys.stderr.write("usage: python -m fastlog.wire <API name> request|response <version>\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
