"""Consumer groups: pure state machines of both protocols, their records, and the service around them.

| file            | what is in it                                                                     |
|-----------------|-----------------------------------------------------------------------------------|
| `results`       | requests, answers and effects as plain data                                       |
| `members`       | the members of one group: protocols, leader, static members                       |
| `state`         | one group: its state, checks, heartbeats, members that leave                      |
| `rebalance`     | from PreparingRebalance to the next generation; everything that a deadline starts |
| `joining`       | JoinGroup                                                                         |
| `syncing`       | SyncGroup, and what happens when an assignment is stored                          |
| `offsets`       | committed offsets of one group and their expiry                                   |
| `records`       | Kafka's record format of `__consumer_offsets`                                     |
| `record_fields` | the encodings of their fields, for both protocols                                 |
| `group_log`     | appends to that topic                                                             |
| `loading`       | reads it at start                                                                 |
| `table`         | all groups of this broker                                                         |
| `membership`, `commits`, `admin` | what handlers call                                               |
| `timers`        | one timer for each group                                                          |
| `service`       | all of it together: start, expiry, stop                                           |
| `modern`        | groups of the consumer protocol (KIP-848); all else is the classic protocol       |
"""
