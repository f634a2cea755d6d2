"""How the Python clients reach the broker: `SECURITY` in the environment, as JSON (`clients/go`)."""

from __future__ import annotations

import json
import os
import ssl
from typing import Any


def security() -> dict[str, Any]:
    """Settings of kafka-python and, but for its kind of token, of aiokafka."""
    given = json.loads(os.environ.get("SECURITY", "{}"))
    settings: dict[str, Any] = {}
    if given:
        kind = "SASL_" if "mechanism" in given else ""
        settings["security_protocol"] = f"{kind}{'SSL' if 'ca' in given else 'PLAINTEXT'}"
    if "ca" in given:
        context = ssl.create_default_context(cafile=given["ca"])
        if "certificate" in given:
            context.load_cert_chain(given["certificate"], given["key"])
        settings["ssl_context"] = context
    if "mechanism" in given:
        settings["sasl_mechanism"] = given["mechanism"]
    if "user" in given:
        settings |= {"sasl_plain_username": given["user"], "sasl_plain_password": given["password"]}
    if "token" in given:
        settings["sasl_oauth_token_provider"] = given["token"]
    return settings
