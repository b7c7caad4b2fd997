-- From which hosts do videos fail most often?
-- The host is that of the video's URL. The rate is that of the tasks that ran to their end, between 0 and 1.
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
