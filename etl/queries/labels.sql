-- Which labels are found most often, and how surely?
SELECT
    label,
    count(DISTINCT task_id) AS tasks,
    count(*) AS frames,
    min(confidence) AS least_confidence,
    max(confidence) AS most_confidence
FROM detections
GROUP BY label
ORDER BY frames DESC, label
LIMIT 8
