-- One row a type of task (task_name and category): how long its tasks waited for their start, in seconds, by the
-- creation time that task_timeline estimates. Counted are the tasks whose wait is known, whatever their status.
-- The percentiles interpolate linearly between neighbours, as percentile_cont and numpy do.
percentiles(wait_seconds)
