-- One row per task type (task_name and category): how long its tasks ran, in seconds. Includes every task
-- with a known duration, whatever its status. Percentiles are interpolated linearly, as by percentile_cont
-- and NumPy.
percentiles(duration_seconds)
