"""Groups of the classic protocol.

| file         | what is in it                                                                     |
|--------------|-----------------------------------------------------------------------------------|
| `members`    | the members of one group: protocols, leader, static members                       |
| `state`      | one group: its state, checks, heartbeats, members that leave                      |
| `rebalance`  | from PreparingRebalance to the next generation; everything that a deadline starts |
| `joining`    | JoinGroup                                                                         |
| `syncing`    | SyncGroup, and what happens when an assignment is stored                          |
| `membership` | what handlers call: requests meet the state machine                               |
"""
