"""
What a task was asked to do, and what came of it.

Everything follows from the task's own seed, so a million tasks need no memory for what nobody looked at.
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
    Invent what the client sent; the optional fields are there as often as clients bother.

    Each byte of a hash decides one thing: setting up a generator would take ten times as long, and a
    search looks at every task.
    """
    fate = hashlib.blake2b(b"%d" % seed, digest_size=16).digest()
    slug, number = fate[:6].hex(), 1000 + fate[6] * 35
    url = _HOSTS[fate[7] % len(_HOSTS)].format(slug=slug, number=number, digit=fate[6] % 4)
    data: Json = {"url": url, "client_id": client_id}
    if kind == "transcription":
        data["task_name"] = "transcription"
        spoken = fate[8] % len(SPOKEN)
        if _is_in(fate[9], 60):
            data["audio_language"] = SPOKEN[spoken]
        if _is_in(fate[10], 30):
            data["subtitles_language"] = SPOKEN[spoken - 1 - fate[11] % (len(SPOKEN) - 1)]
    else:
        data["task_name"] = "content-moderation"
        data["category"] = kind
        if kind in {"hard_nudity", "soft_nudity"} and _is_in(fate[8], 30):
            data["stop_objects"] = LABELS[kind][fate[9] % len(LABELS[kind])]
    if _is_in(fate[12], 50):
        data["client_user_id"] = f"user-{fate[13] % 40}"
    note = _make_note(fate[14], fate[15], number)
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


def _happens(dice: random.Random, share: float) -> bool:
    return dice.random() < share


def make_error(seed: int, url: str) -> str:
    """Say why the task failed, in one of the ways such tasks fail."""
    dice = random.Random(seed)  # noqa: S311
    host = url.split("/")[2] if url.count("/") > 1 else "the origin"
    return dice.choice(
        (
            f"Unsupported file type: {url}",
            f"Cannot download file: HTTP 404 for {url}",
            f"Cannot download file: no answer from {host} within 30 seconds",
            "Cannot decode file: moov atom not found",
            "No video stream found in the file",
            f"File is too large: {dice.uniform(10, 80):.1f} GB",
            "Processing was interrupted: worker exited with signal 9",
        )
    )


def make_result(seed: int, kind: str, task_data: Json) -> Json:
    """Invent what the analysis found."""
    dice = random.Random(seed)  # noqa: S311
    return _transcript(dice, task_data) if kind == "transcription" else _detections(dice, kind)


def _detections(dice: random.Random, kind: str) -> Json:
    if _happens(dice, 0.4):
        return {FLAGS[kind]: False, "detection_results": [], "frames": []}
    labels = dice.sample(LABELS[kind], k=min(len(LABELS[kind]), dice.randint(1, 3)))
    frames = [
        {
            "label": dice.choice(labels),
            "frame_number": number,
            "confidence": 1 if _happens(dice, 0.1) else round(dice.uniform(0.5, 1), 2),
        }
        for number in sorted(dice.sample(range(5000), k=dice.randint(1, 8)))
    ]
    found = list(dict.fromkeys(str(frame["label"]) for frame in frames))
    return {FLAGS[kind]: True, "detection_results": found, "frames": frames}


def _transcript(dice: random.Random, task_data: Json) -> Json:
    heard = str(task_data.get("audio_language") or dice.choice(SPOKEN))
    shown = str(task_data.get("subtitles_language") or heard)
    languages = [heard] if shown == heard else [heard, shown]
    if _happens(dice, 0.06):
        return {
            "speech_detected": False, "concatenated_text": "", "subtitles": [], "vttContent": "",
            "languages": [],
        }  # fmt: skip
    subtitles: list[dict[str, str]] = []
    vtt = ["WEBVTT\n"]
    clock = dice.uniform(0, 3)
    for number in range(1, dice.randint(2, 13)):
        start, clock = clock, clock + dice.uniform(0.8, 5)
        cue = {
            "start_time": _timecode(start),
            "end_time": _timecode(clock),
            "text": dice.choice(PHRASES.get(shown, PHRASES["eng"])),
        }
        subtitles.append(cue)
        vtt.append(f"{number}\n{cue['start_time']} --> {cue['end_time']}\n{cue['text']}\n")
        clock += dice.choice((0.02, 0.4, 3600 if _happens(dice, 0.01) else 1.5))
    return {
        "speech_detected": True,
        "concatenated_text": " ".join(cue["text"] for cue in subtitles),
        "subtitles": subtitles,
        "vttContent": "\n".join(vtt),
        "languages": languages,
    }


def _timecode(seconds: float) -> str:
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}.{milliseconds % 1000:03}"
