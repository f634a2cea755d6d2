"""Consumer groups of the consumer protocol (KIP-848): the broker assigns, members follow step by step.

| file                          | what is in it                                                             |
|-------------------------------|---------------------------------------------------------------------------|
| `results`                     | heartbeats, answers and limits as plain data                              |
| `members`, `state`            | a member; a group with its epochs, targets and owners                     |
| `member_heartbeat`, `leaving` | what requests and passing time do to a group                              |
| `reconciliation`              | one step of a member towards its target                                   |
| `targets`, `assignors`        | who is to own what                                                        |
| `topics_seen`                 | topics as groups look at them                                             |
| `patterns`, `pattern_syntax`  | regular expressions that take linear time                                 |
| `classic_members`             | members of the classic protocol in such a group                           |
| `consumer_protocol`           | what classic members say in their metadata                                |
| `migration`                   | a group moves from one protocol to the other                              |
| `commit_checks`               | who may commit and fetch offsets                                          |
| `records`                     | Kafka 4's record format                                                   |
| `writer`                      | writes changes to the log, one batch at a time for each group             |
| `service`                     | requests, timers and the pieces above together                            |

All but `writer` and `service` is pure: no I/O, no clock.
"""
