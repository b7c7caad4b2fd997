-- Which languages have the lowest transcription success rate?
-- By requested language; null for automatic detection. The rate is succeeded / (succeeded + failed), between 0 and 1.
-- Languages with fewer than 20 such tasks are omitted.
SELECT
    audio_language,
    sum(finished) AS finished,
    sum(failed) AS failed,
    CAST(sum(succeeded) AS DOUBLE PRECISION) / sum(succeeded + failed) AS success_rate
FROM outcomes
WHERE task_name = 'transcription'
GROUP BY audio_language
HAVING sum(succeeded + failed) >= 20
ORDER BY success_rate, audio_language
LIMIT 5
