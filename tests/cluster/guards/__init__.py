"""Clusters without one guard, in which a checker must find what the guard keeps out.

| file       | what is in it                                                                             |
|------------|-------------------------------------------------------------------------------------------|
| `removals` | what it is to be without a guard: one class or function changed, by the guard's name      |
| `stage`    | brokers in this process, whose controller is the test                                     |
| `history`  | a producer and a reader that go where the test says, and what they write down             |
| `scripts`  | one course of events for each guard, which is harmless with it                            |
| `broker`   | a broker process without a guard, for `tests.cluster.chaos --without`                      |
"""
