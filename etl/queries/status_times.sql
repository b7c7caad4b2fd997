-- How long do tasks stay in each status?
-- In minutes, from the history of the tasks, which the API does not keep. The more often you sync, the more accurate
-- the times are. Only periods that have ended count, including those that ended because the task was marked as removed.
SELECT
    status,
    count(*) AS periods,
    avg(seconds) / 60 AS mean_minutes,
    max(seconds) / 60 AS longest_minutes
FROM (
    SELECT status, seconds
    FROM status_spans
    WHERE valid_to IS NOT NULL
    -- The huge LIMIT keeps SQLite from inlining the subquery and computing its columns again at every use.
    LIMIT 9223372036854775807
) AS ended
GROUP BY status
ORDER BY periods DESC, status
