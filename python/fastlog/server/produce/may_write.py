"""What a producer may write, where there is an authorizer: asked once for each topic of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.wire import ApiKey

if TYPE_CHECKING:
    from fastlog.native import ProducePlan
    from fastlog.server.access.asking import Access, Ask
    from fastlog.server.access.table import Need
    from fastlog.server.network.session import Session

__all__ = ["MayWrite", "may_write"]


class MayWrite:
    """`refusal` is the code that all of the request has, or 0."""

    __slots__ = ("_code", "_codes", "_need", "ask", "refusal")

    def __init__(self, ask: Ask, need: Need, code: int, refusal: int) -> None:
        self.ask: Final = ask
        self._code = code
        self.refusal: Final = refusal
        self._need = need
        self._codes: dict[str, int] = {}

    def code(self, topic: str) -> int:
        """The code of a topic's partitions, or 0."""
        code = self._codes.get(topic)
        if code is None:
            may = self.ask.may(self._need.operation, self._need.resource, topic)
            code = self._codes[topic] = 0 if may else self._code
        return code


def may_write(access: Access, session: Session, plan: ProducePlan) -> MayWrite:
    """For one request; its transactional id comes before its topics."""
    from fastlog.server.access.gate import code_of, needs  # loaded for an authorizer alone

    transaction, topic = needs(ApiKey.PRODUCE, 2)
    ask = access.ask(session, ApiKey.PRODUCE.title)
    name, refusal = plan.transactional_id, 0
    if (
        name is not None
        and plan.is_transactional
        and not ask.may(transaction.operation, transaction.resource, name)
    ):
        refusal = code_of(transaction)
    return MayWrite(ask, topic, code_of(topic), refusal)
