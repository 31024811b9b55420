"""The engine of a worker: orders, executors, retries, and offsets that never run ahead of the work.

One task that succeeds, and who calls what (`BaseWorker.__init__` joins the parts):

- `Worker._turn`: `Fetcher.poll` brings its record.
- `Worker._hand_out`: `PartitionState.receive` says whether it is done already; its `WorkItem` goes to `Shards.put`.
- a thread of `ThreadExecutor`: waits in `Shards.take`, then calls `Attempts.begin`, `outcome_of` the handler, and
  `Attempts.end`, which puts the item into `Attempts.done`.
- `Worker._take_in`: `AssignedPartitions.finish` tells its `PartitionState`, and that its `OffsetTracker`.
- `Worker._turn`: `AssignedPartitions.commit_if_due` commits, with what is not done before it as `OffsetMetadata`.
"""
