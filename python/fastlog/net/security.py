"""What all connections over one listener have in common: encrypted or not, and as whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.base.quick_dataclass import dataclass

if TYPE_CHECKING:
    import ssl

    from fastlog.net.sasl import Credentials

__all__ = ["PLAINTEXT", "PROTOCOLS", "Security"]

PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")


@dataclass(frozen=True, slots=True)
class Security:
    """By Kafka's names of protocols; what a protocol has no use for is None."""

    protocol: str = "PLAINTEXT"
    tls: ssl.SSLContext | None = None
    credentials: Credentials | None = None


PLAINTEXT: Final = Security()
