-- One row per task type, category and kind of error: how many tasks failed with it, and the first and last
-- time (UTC). error_kind is the error up to its first colon, at most 80 characters, because the rest often
-- names a file or a size; it is null if no error is known.
SELECT
    task_name,
    category,
    error_kind,
    count(*) AS tasks,
    min(failed_at) AS first_at,
    max(failed_at) AS last_at
FROM (
    SELECT
        failures.*,
        CASE
            WHEN error <> '' THEN trim(substr(substr(error, 1, place(error || ':', ':') - 1), 1, 80))
        END AS error_kind
    FROM failures
) AS named
GROUP BY task_name, category, error_kind
