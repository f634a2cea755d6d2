"""Consumer groups: pure state machines of both protocols, their records, and the service around them.

| file            | what is in it                                                                     |
|-----------------|-----------------------------------------------------------------------------------|
| `results`       | requests, answers and effects as plain data                                       |
| `committed_offsets` | those of one group and their expiry                                           |
| `records`       | Kafka's record format of `__consumer_offsets`                                     |
| `record_fields` | the encodings of their fields, for both protocols                                 |
| `group_log`     | appends to that topic, in order; `group_batch`: requests that share a batch       |
| `loading`       | reads it                                                                          |
| `leadership`    | groups come and go with the leadership of their partition of that topic           |
| `removal`       | tombstones of offsets and groups, in one queue with what they race                |
| `table`         | all groups of this broker                                                         |
| `commits`, `admin` | what handlers call, beside `classic.membership` and `consumer.service`         |
| `timers`        | one timer for each group                                                          |
| `service`       | all of it together: start, elections, expiry, stop                                |
| `classic/`      | groups of the classic protocol                                                    |
| `consumer/`     | groups of the consumer protocol (KIP-848)                                         |
"""
