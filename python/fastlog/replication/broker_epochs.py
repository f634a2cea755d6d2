"""In which life each broker is, as far as this one has been told: what a former life of it sent is refused.

A broker's epoch is the transaction id with which it registered, so it rises from life to life (Kafka's broker
epoch, KIP-380). UpdateMetadata does not name those of others: they are learnt from what brokers say of
themselves when they fetch (KIP-903), and from whoever else knows.
"""

from __future__ import annotations

from typing import Final

UNKNOWN: Final = -1


class BrokerEpochs:
    """The highest epoch that is known of each broker."""

    def __init__(self) -> None:
        self._known: dict[int, int] = {}

    def learn(self, broker: int, epoch: int) -> None:
        """That broker is in this life, or was; UNKNOWN says nothing."""
        if epoch > self._known.get(broker, UNKNOWN):
            self._known[broker] = epoch

    def admit(self, broker: int, epoch: int) -> bool:
        """Whether a request of that broker in that life is to be served; it is learnt then.

        One that does not know its epoch is (`Replica.updateFetchStateOrThrow` of Kafka).
        """
        known = self._known.get(broker, UNKNOWN)
        if epoch > known:
            self._known[broker] = epoch
        return epoch == UNKNOWN or epoch >= known

    def of(self, broker: int) -> int:
        """What is known, or UNKNOWN."""
        return self._known.get(broker, UNKNOWN)
