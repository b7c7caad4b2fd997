-- One row a type of task (task_name and category): how long its tasks waited for their start, in seconds, by the
-- creation time that task_timeline estimates. Counted are the tasks whose wait is known, whatever their status.
-- The percentiles interpolate linearly between neighbours, as percentile_cont and numpy do.
WITH ranked AS (
    SELECT
        task_name,
        category,
        wait_seconds,
        CAST(round(wait_seconds * 1000000) AS BIGINT) AS wait_micros,
        lead(wait_seconds, 1, wait_seconds) OVER sorted - wait_seconds AS step,
        -- A hundred times the place in the order, from 0, and a hundred times the last place: whole numbers.
        100 * (row_number() OVER sorted - 1) AS place,
        count(*) OVER (PARTITION BY task_name, category) - 1 AS last_place
    FROM task_timeline
    WHERE wait_seconds IS NOT NULL
    WINDOW sorted AS (PARTITION BY task_name, category ORDER BY wait_seconds)
),
weighed AS (
    SELECT
        ranked.*,
        CASE WHEN 50 * last_place - place BETWEEN 0 AND 99 THEN 50 * last_place - place END AS past_p50,
        CASE WHEN 95 * last_place - place BETWEEN 0 AND 99 THEN 95 * last_place - place END AS past_p95,
        CASE WHEN 99 * last_place - place BETWEEN 0 AND 99 THEN 99 * last_place - place END AS past_p99
    FROM ranked
)
SELECT
    task_name,
    category,
    count(*) AS n,
    mean_seconds(wait_micros) AS mean_seconds,
    max(CASE WHEN past_p50 IS NOT NULL THEN wait_seconds + step * past_p50 / 100 END) AS p50_seconds,
    max(CASE WHEN past_p95 IS NOT NULL THEN wait_seconds + step * past_p95 / 100 END) AS p95_seconds,
    max(CASE WHEN past_p99 IS NOT NULL THEN wait_seconds + step * past_p99 / 100 END) AS p99_seconds
FROM weighed
GROUP BY task_name, category
