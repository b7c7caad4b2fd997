-- How long do tasks stay in a status?
-- In minutes, out of the history: what the API never tells. It is as exact as syncs are frequent. Counted are the
-- stretches that have ended, also by the task's vanishing from the source.
SELECT
    status,
    count(*) AS stretches,
    avg(seconds) / 60 AS mean_minutes,
    max(seconds) / 60 AS longest_minutes
FROM (
    SELECT status, seconds
    FROM status_spans
    WHERE valid_to IS NOT NULL
    -- All of them. Without a limit SQLite would work out `seconds` for each use.
    LIMIT 9223372036854775807
) AS ended
GROUP BY status
ORDER BY stretches DESC, status
