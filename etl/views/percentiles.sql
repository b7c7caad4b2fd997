WITH ranked AS (
    SELECT
        task_name,
        category,
        {0},
        CAST(round({0} * 1000000) AS BIGINT) AS whole_micros,
        lead({0}, 1, {0}) OVER sorted - {0} AS step,
        -- A hundred times the rank, from 0, so that the ranks of percentiles are integers.
        100 * (row_number() OVER sorted - 1) AS place,
        count(*) OVER (PARTITION BY task_name, category) - 1 AS last_place
    -- The huge LIMIT keeps SQLite from inlining the subquery and computing its columns again at every use.
    FROM (SELECT task_name, category, {0} FROM task_timeline LIMIT 9223372036854775807) AS timeline
    WHERE {0} IS NOT NULL
    WINDOW sorted AS (PARTITION BY task_name, category ORDER BY {0})
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
    mean_seconds(whole_micros) AS mean_seconds,
    max(CASE WHEN past_p50 IS NOT NULL THEN {0} + step * past_p50 / 100 END) AS p50_seconds,
    max(CASE WHEN past_p95 IS NOT NULL THEN {0} + step * past_p95 / 100 END) AS p95_seconds,
    max(CASE WHEN past_p99 IS NOT NULL THEN {0} + step * past_p99 / 100 END) AS p99_seconds
FROM weighed
GROUP BY task_name, category
