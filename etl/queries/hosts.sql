-- Which hosts have the highest failure rate?
-- The host is that of the video URL. The rate is failed / (succeeded + failed), between 0 and 1. Hosts with fewer than
-- 20 such tasks are omitted.
SELECT
    host,
    sum(finished) AS finished,
    sum(failed) AS failed,
    CAST(sum(failed) AS DOUBLE PRECISION) / sum(succeeded + failed) AS failure_rate
FROM outcomes
GROUP BY host
HAVING sum(succeeded + failed) >= 20
ORDER BY failure_rate DESC, host
LIMIT 5
