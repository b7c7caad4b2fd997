SELECT task_id, count(*) AS lines, max(end_seconds) AS at_least_seconds
FROM subtitles
GROUP BY task_id
