-- What does content moderation find?
-- Of the results that are here: how many tasks were looked at, in how many something was found, and how many frames it
-- was in.
SELECT
    results.kind,
    count(DISTINCT results.task_id) AS looked_at,
    count(DISTINCT detections.task_id) AS found_in,
    count(detections.task_id) AS frames,
    avg(detections.confidence) AS mean_confidence
FROM task_results AS results
LEFT JOIN detections
    ON detections.task_id = results.task_id
WHERE results.state = 'archived' AND results.detected IS NOT NULL
GROUP BY results.kind
ORDER BY found_in DESC, results.kind
