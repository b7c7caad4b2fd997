"""
The generated data, errors and results of tasks.

Everything is derived from the task's seed when it is requested, so a million tasks need little memory.
"""

from __future__ import annotations

import hashlib
import json
import random

from etl.emulator.phrases import PHRASES, SPOKEN

Json = dict[str, object]

KINDS = ("transcription", "nsfw", "soft_nudity", "hard_nudity", "sport")

_EXPOSED = (
    "ANUS_EXPOSED", "BUTTOCKS_EXPOSED", "FEMALE_BREAST_EXPOSED", "FEMALE_GENITALIA_EXPOSED",
    "MALE_BREAST_EXPOSED", "MALE_GENITALIA_EXPOSED",
)  # fmt: skip
_COVERED = (
    "ANUS_COVERED", "ARMPITS_COVERED", "ARMPITS_EXPOSED", "BELLY_COVERED", "BELLY_EXPOSED",
    "BUTTOCKS_COVERED", "FACE_FEMALE", "FACE_MALE", "FEET_COVERED", "FEET_EXPOSED",
    "FEMALE_BREAST_COVERED", "FEMALE_GENITALIA_COVERED",
)  # fmt: skip
LABELS: dict[str, tuple[str, ...]] = {
    "nsfw": ("nsfw",),
    "hard_nudity": _EXPOSED,
    "soft_nudity": _COVERED + _EXPOSED,
    "sport": (
        "archery", "playing badminton", "basketball dunk", "bowling", "curling", "fencing", "football",
        "golf putting", "ice skating", "kayaking", "playing cricket", "playing tennis", "pole vault",
        "riding a bike", "shooting goal (soccer)", "skateboarding", "skiing",
    ),
}  # fmt: skip
FLAGS = {
    "nsfw": "nsfw_detected",
    "hard_nudity": "nudity_detected",
    "soft_nudity": "nudity_detected",
    "sport": "sport_detected",
}

_HOSTS = (
    "https://demo-public.gvideo.io/videos/2675_{slug}/qid{number}v1_h264_450_360.mp4",
    "https://media-archive.s3.eu-west-1.amazonaws.com/raw/{slug}.mp4",
    "https://cdn.example.org/uploads/2026/{slug}.mp4?token={number}&v=2",
    "https://storage.example.net/käse/{slug}%20final.mp4",
    "http://origin-{digit}.example.com:8081/{slug}.mov",
)
_NOTES = ("season 2, episode 7", "re-run after edit", "for the légal team", "客户上传", "O'Hara's cut; keep")


def make_task_data(seed: int, kind: str, client_id: int) -> Json:
    """
    Return the `task_data` of a task; optional fields are present with a realistic probability.

    Each byte of a hash decides one choice. A random generator would take ten times as long to set up, and a
    search reads every task.
    """
    digest = hashlib.blake2b(b"%d" % seed, digest_size=16).digest()
    slug, number = digest[:6].hex(), 1000 + digest[6] * 35
    url = _HOSTS[digest[7] % len(_HOSTS)].format(slug=slug, number=number, digit=digest[6] % 4)
    data: Json = {"url": url, "client_id": client_id}
    if kind == "transcription":
        data["task_name"] = "transcription"
        language = digest[8] % len(SPOKEN)
        if _is_in(digest[9], 60):
            data["audio_language"] = SPOKEN[language]
        if _is_in(digest[10], 30):
            data["subtitles_language"] = SPOKEN[language - 1 - digest[11] % (len(SPOKEN) - 1)]
    else:
        data["task_name"] = "content-moderation"
        data["category"] = kind
        if kind in {"hard_nudity", "soft_nudity"} and _is_in(digest[8], 30):
            data["stop_objects"] = LABELS[kind][digest[9] % len(LABELS[kind])]
    if _is_in(digest[12], 50):
        data["client_user_id"] = f"user-{digest[13] % 40}"
    note = _make_note(digest[14], digest[15], number)
    if note is not None:
        data["client_entity_data"] = note
    return data


def _make_note(form: int, detail: int, number: int) -> str | None:
    match form % 4:
        case 0:
            return str(number * 101)  # a video's id
        case 1:
            note = {"video_id": number, "folder": ("news", "sport", "архив")[detail % 3]}
            return json.dumps(note, ensure_ascii=detail % 2 == 0)
        case 2:
            return _NOTES[detail % len(_NOTES)]
    return None


def _is_in(byte: int, percent: int) -> bool:
    return byte * 100 < percent * 256


def _happens(rng: random.Random, share: float) -> bool:
    return rng.random() < share


def make_error(seed: int, url: str) -> str:
    """Return an error message of a failed task."""
    rng = random.Random(seed)  # noqa: S311
    host = url.split("/")[2] if url.count("/") > 1 else "the origin"
    return rng.choice(
        (
            f"Unsupported file type: {url}",
            f"Cannot download file: HTTP 404 for {url}",
            f"Cannot download file: no answer from {host} within 30 seconds",
            "Cannot decode file: moov atom not found",
            "No video stream found in the file",
            f"File is too large: {rng.uniform(10, 80):.1f} GB",
            "Processing was interrupted: worker exited with signal 9",
        )
    )


def make_result(seed: int, kind: str, task_data: Json) -> Json:
    """Return the result of a task that succeeded."""
    rng = random.Random(seed)  # noqa: S311
    return _transcript(rng, task_data) if kind == "transcription" else _detections(rng, kind)


def _detections(rng: random.Random, kind: str) -> Json:
    if _happens(rng, 0.4):
        return {FLAGS[kind]: False, "detection_results": [], "frames": []}
    labels = rng.sample(LABELS[kind], k=min(len(LABELS[kind]), rng.randint(1, 3)))
    frames = [
        {
            "label": rng.choice(labels),
            "frame_number": number,
            "confidence": 1 if _happens(rng, 0.1) else round(rng.uniform(0.5, 1), 2),
        }
        for number in sorted(rng.sample(range(5000), k=rng.randint(1, 8)))
    ]
    found = list(dict.fromkeys(str(frame["label"]) for frame in frames))
    return {FLAGS[kind]: True, "detection_results": found, "frames": frames}


def _transcript(rng: random.Random, task_data: Json) -> Json:
    audio = str(task_data.get("audio_language") or rng.choice(SPOKEN))
    translated = str(task_data.get("subtitles_language") or audio)
    languages = [audio] if translated == audio else [audio, translated]
    if _happens(rng, 0.06):
        return {
            "speech_detected": False, "concatenated_text": "", "subtitles": [], "vttContent": "",
            "languages": [],
        }  # fmt: skip
    subtitles: list[dict[str, str]] = []
    vtt = ["WEBVTT\n"]
    clock = rng.uniform(0, 3)
    for number in range(1, rng.randint(2, 13)):
        start, clock = clock, clock + rng.uniform(0.8, 5)
        subtitle = {
            "start_time": _timecode(start),
            "end_time": _timecode(clock),
            "text": rng.choice(PHRASES.get(translated, PHRASES["eng"])),
        }
        subtitles.append(subtitle)
        vtt.append(f"{number}\n{subtitle['start_time']} --> {subtitle['end_time']}\n{subtitle['text']}\n")
        clock += rng.choice((0.02, 0.4, 3600 if _happens(rng, 0.01) else 1.5))
    return {
        "speech_detected": True,
        "concatenated_text": " ".join(subtitle["text"] for subtitle in subtitles),
        "subtitles": subtitles,
        "vttContent": "\n".join(vtt),
        "languages": languages,
    }


def _timecode(seconds: float) -> str:
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}.{milliseconds % 1000:03}"
