-- In which languages do transcriptions succeed least often?
-- By the language that was asked for; null where it was left to automatic detection. The rate is that of the
-- tasks that ran to their end, between 0 and 1.
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
