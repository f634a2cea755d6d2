"""Which topics the members of a group of consumers subscribe to.

To delete or expire offsets Kafka looks at the topics in the metadata of protocol type "consumer". They are
kept with each member from when it joins on: see `subscribed_names`.
"""

from __future__ import annotations

from fastlog.coordination.groups.classic.state import CONSUMER, Group


def subscribed_topics(group: Group) -> frozenset[str] | None:
    """The topics of all members, or None when that cannot be known."""
    if group.protocol_type != CONSUMER:
        return None
    if not len(group.members):
        return frozenset()
    if group.protocol_name is None:
        return None
    topics: set[str] = set()
    for member in group.members:
        names = member.topics.get(group.protocol_name)
        if names is None:
            return None
        topics.update(names)
    return frozenset(topics)
