-- One row a type of task (task_name and category): how long its tasks ran, in seconds.
-- Counted are the tasks whose duration is known, whatever their status. The percentiles interpolate linearly
-- between neighbours, as percentile_cont and numpy do.
percentiles(duration_seconds)
