"""Transactions, the coordinator's side (KIP-98, KIP-360, KIP-588, KIP-890): who has an id, and how it ends.

| file             | what is in it                                                                   |
|------------------|---------------------------------------------------------------------------------|
| `state`          | one id: what is stored, what is pending, what may follow what                   |
| `verdicts`       | pure: what becomes of a request; `ending`: of EndTxn in both protocols          |
| `results`        | what handlers get                                                               |
| `records`        | Kafka's record format of `__transaction_state`                                  |
| `log`            | appends to that topic                                                           |
| `loading`        | reads it                                                                        |
| `table`          | all ids of this broker, by partition                                            |
| `changes`        | a verdict that is written, and in force then; the completion of what is decided |
| `completions`    | a marker, who writes it, and what is owed for one transaction                   |
| `markers`        | what is owed to the leaders of partitions; `marker_targets`: the ways there     |
| `verification`   | what leaders ask coordinators before they take a transactional batch            |
| `leadership`     | ids come and go with the leadership of their partition of the topic             |
| `expiry`         | time-outs, and ids that nobody uses                                             |
| `service`        | all of it together                                                              |
"""
