-- Why do tasks fail?
-- The kind of an error is its text up to the first colon; null if no error is known, for example while the result is
-- pending.
SELECT
    error_kind,
    sum(tasks) AS tasks,
    min(first_at) AS first_at,
    max(last_at) AS last_at
FROM failure_kinds
GROUP BY error_kind
ORDER BY tasks DESC, error_kind
