-- One row per task type and category: how long its tasks waited from creation to start, in seconds. The
-- creation time is task_timeline.created_at. Includes every task with a known wait, whatever its status.
-- Percentiles are interpolated linearly, as by percentile_cont and NumPy.
percentiles(wait_seconds)
