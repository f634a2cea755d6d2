"""The controller of this process, as far as whoever writes topics needs it."""

from __future__ import annotations

from typing import Protocol


class ControllerHere(Protocol):
    """`Controller`."""

    @property
    def is_active(self) -> bool:
        """Whether it is the cluster's."""
        ...

    @property
    def epoch(self) -> int:
        """Its epoch, while it is."""
        ...

    def is_deleting(self, topic: str) -> bool:
        """Whether it is about to delete a topic, and waits for nobody who is away."""
        ...

    def knows(self, topic: str) -> bool:
        """Whether it is the controller, and has read the topic's node."""
        ...

    def topics_written(self) -> None:
        """Nodes of topics have changed: it need not wait for its watches to tell."""
        ...
