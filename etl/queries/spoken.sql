-- Which languages are spoken in the videos?
-- As stated in the results, which may differ from the requested language. A video may have several languages.
-- SQLite:
SELECT
    spoken.value AS language,
    count(*) AS videos
FROM task_results AS results
INNER JOIN json_each(results.languages) AS spoken
GROUP BY language
ORDER BY videos DESC, language
LIMIT 8
-- Postgres:
SELECT
    spoken.value AS language,
    count(*) AS videos
FROM task_results AS results
CROSS JOIN jsonb_array_elements_text(results.languages) AS spoken (value)
GROUP BY language
ORDER BY videos DESC, language
LIMIT 8
