-- What does content moderation detect?
-- Of the archived results: how many tasks were analysed, how many of them have detections, and the number of detections
-- (frames), one per frame and label.
SELECT
    results.kind,
    count(DISTINCT results.task_id) AS analysed,
    count(DISTINCT detections.task_id) AS with_detections,
    count(detections.task_id) AS frames,
    avg(detections.confidence) AS mean_confidence
FROM task_results AS results
LEFT JOIN detections
    ON detections.task_id = results.task_id
WHERE results.state = 'archived' AND results.detected IS NOT NULL
GROUP BY results.kind
ORDER BY with_detections DESC, results.kind
