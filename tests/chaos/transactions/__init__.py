"""Transactions under kills and under frames that come late: what is committed is read once and whole.

| file        | what is in it                                                                          |
|-------------|----------------------------------------------------------------------------------------|
| `history`   | what clients write down, as data                                                       |
| `checker`   | what a history must show; pure                                                         |
| `wire`      | requests over connections that may break, to the leaders and coordinators of then      |
| `producer`  | a client of both protocols, which draws what it does                                   |
| `ambush`    | frames that are late at the one moment at which that matters                           |
| `ambushed`  | the client whose frames these are                                                      |
| `library`   | a client of librdkafka                                                                 |
| `observers` | a `read_committed` consumer; last stable offsets and positions of groups, as told      |
| `proxy`     | passes frames, and holds some of them until they are late                              |
| `load`      | all clients of a run                                                                   |
| `single`    | one broker that is killed, stopped and started again                                   |
| `cluster`   | three brokers, of whom leaders and coordinators are killed                             |
| `guards`    | brokers without one guard                                                              |
| `course`    | transactions that go where a test says, on a broker in this process                    |
| `scripts`   | one course of events for each guard, which is harmless with it                         |
"""
