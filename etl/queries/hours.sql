-- At which hours of the day do most tasks start?
-- Hours are in UTC.
-- SQLite:
SELECT
    CAST(strftime('%H', started_at) AS INTEGER) AS hour,
    count(*) AS tasks
FROM tasks
WHERE started_at IS NOT NULL
GROUP BY hour
ORDER BY tasks DESC, hour
LIMIT 5
-- Postgres:
SELECT
    CAST(extract(hour FROM started_at AT TIME ZONE 'UTC') AS INTEGER) AS hour,
    count(*) AS tasks
FROM tasks
WHERE started_at IS NOT NULL
GROUP BY hour
ORDER BY tasks DESC, hour
LIMIT 5
