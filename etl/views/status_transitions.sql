-- One row a pair of statuses: how often tasks went from the one to the other, how many tasks did, and how long
-- they had been in the first, in seconds on average. A gap, while the source did not have the task, is no step.
WITH steps AS (
    SELECT
        task_id,
        status AS from_status,
        valid_to,
        CAST(round(seconds * 1000000) AS BIGINT) AS stayed,
        lead(status) OVER one_task AS to_status,
        lead(valid_from) OVER one_task AS next_from
    FROM status_spans
    WINDOW one_task AS (PARTITION BY task_id ORDER BY history_id)
)
SELECT
    from_status,
    to_status,
    count(*) AS transitions,
    count(DISTINCT task_id) AS tasks,
    mean_seconds(stayed) AS mean_seconds
FROM steps
WHERE valid_to = next_from
GROUP BY from_status, to_status
