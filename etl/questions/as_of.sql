-- What was under way at each sync?
-- The state of the past, which the API does not keep: at the time up to which a sync had read everything.
SELECT
    runs.run_id,
    runs.watermark_after AS at,
    count(*) FILTER (WHERE spans.status = 'PENDING') AS pending,
    count(*) FILTER (WHERE spans.status = 'STARTED') AS started,
    count(*) AS under_way
FROM sync_runs AS runs
INNER JOIN status_spans AS spans
    ON spans.valid_from <= runs.watermark_after
    AND (spans.valid_to > runs.watermark_after OR spans.valid_to IS NULL)
WHERE spans.status NOT IN ('SUCCESS', 'FAILURE', 'REVOKED')
GROUP BY runs.run_id, runs.watermark_after
ORDER BY runs.run_id
