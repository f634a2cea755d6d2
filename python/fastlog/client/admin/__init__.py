"""Administration of a cluster: topics, records, configurations, groups, offsets, brokers, directories, users.

Functions take an open `Cluster`. Where several things are named, the result is a dictionary that holds for
each of them what came of it: a value, or the `ClientError` (not raised) that it met. Errors of the whole
call, such as no connection, are raised. The command line works with these; `asynchronous` and `blocking`
make the public clients of them, with `outcomes` in the place of the dictionaries.
"""
