-- One row per task type and category: the processing time of its tasks, in seconds. Includes every task whose
-- processing time is known, whatever its status. Percentiles are interpolated linearly, as by percentile_cont
-- and NumPy.
percentiles(duration_seconds)
