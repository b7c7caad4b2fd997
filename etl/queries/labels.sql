-- Which labels are detected most often, and with what confidence?
SELECT
    label,
    count(DISTINCT task_id) AS tasks,
    count(*) AS frames,
    min(confidence) AS min_confidence,
    max(confidence) AS max_confidence
FROM detections
GROUP BY label
ORDER BY frames DESC, label
LIMIT 8
