"""Churn: a group of many members of three kinds, under load, while members and the broker come and go.

| file            | what is in it                                                                     |
|-----------------|-----------------------------------------------------------------------------------|
| `member`        | a member process: librdkafka or kafka-python; `ChurnMember.java` is the Java kind |
| `history`       | what members write down, as data                                                  |
| `checker`       | what a history must show; pure                                                    |
| `truth`         | what the broker's own topics say: the records, the commits, the lag               |
| `load`          | the producer of unique numbers                                                    |
| `probes`        | requests that must be refused: those of members of the past                       |
| `group`         | the member processes and what can be done to them                                 |
| `churn`         | one run: start, faults, healing, check                                            |
| `broken_broker` | a broker with one guard removed: the run must then fail                           |
"""
