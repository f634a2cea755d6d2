"""Clusters of three: Apache Kafka's brokers in ZooKeeper mode, and fastlog's, on one tree.

| file                | what is in it                                                                  |
|---------------------|--------------------------------------------------------------------------------|
| `kinds`             | which kinds are tested: the one constant to change when fastlog's can join     |
| `extent`            | how many tests and records a run takes                                         |
| `member`, `cluster` | a broker of either kind on its directory, and three of them on a tree          |
| `tree_state`        | what the tree says: who lives, controls, leads, is in sync                     |
| `operator`          | topics and preferred leaders                                                   |
| `control`           | who is the controller; the nodes that commands leave                           |
| `groups`            | groups of a chosen coordinator                                                 |
| `load`              | producers and a reader, which write a history                                  |
| `history`           | what they write down                                                           |
| `checker`           | what a history must show; pure                                                 |
| `logs`              | logs of the replicas compared byte by byte, and Kafka's own look at them       |
| `verdict`           | all that must be true when a load is over                                      |
| `moves`             | what happens to a cluster, by name                                             |
| `cut_off`           | members that do not reach ZooKeeper, and answers of it that are lost           |
| `guards`            | brokers without one guard, and what the checker says of them                   |
| `chaos`             | one move after another, drawn by a seed                                        |
"""
