"""Other frameworks over Kafka, each run as a program in an environment of its own, so that no version disturbs labkit.

A program is told by one JSON object on its command line (`bootstrap`, `topic`, `group`, `tasks`, `concurrency`), works
on the topic from its beginning until that many tasks are done, and prints one JSON line: `seconds` from the begin of
the first task to the end of the last one. A task's value is a JSON object whose `payload` is what it sleeps, in ms.
"""
