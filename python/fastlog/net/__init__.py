"""The client's side of a connection to a Kafka broker: requests out, answers in, and how to come by one.

| module       | what it has                                                                            |
|--------------|----------------------------------------------------------------------------------------|
| `pipeline`   | what one connection owes, without socket and clock: frames, correlation ids, deadlines |
| `connection` | a pipeline on an asyncio socket                                                        |
| `opening`    | from host and port to a connection: names, addresses, TLS, a time-out                  |
| `versions`   | the version ranges of a broker (ApiVersions)                                           |
| `link`       | a connection with its broker's version ranges                                          |
| `backoff`    | how long to wait before the next try                                                   |
| `errors`     | what all of it raises                                                                  |

`fastlog.client` uses links. A broker that talks to another one opens a connection with `max_in_flight=1` and
sends fixed versions, without a question before; where it needs ranges it opens a link as well.
"""
