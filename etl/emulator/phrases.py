# ruff: noqa: RUF001
"""Phrases spoken in the emulated videos, in scripts of every direction and width."""

from __future__ import annotations

# ISO 639-2/B, the codes the service can transcribe.
_CODES = (
    "afr alb amh ara arm asm aze bak baq bel ben bos bre bul bur cat chi cze dan dut eng est fao fin "
    "fre geo ger glg gre guj hat hau haw heb hin hrv hun ice ind ita jav jpn kan kaz khm kor lao lat "
    "lav lin lit ltz mac mal mao mar may mlg mlt mon nep nor oci pan per pol por pus rum rus san sin "
    "slo slv sna snd som spa srp sun swa swe tam tat tel tgk tgl tha tib tuk tur ukr urd uzb vie wel "
    "yid yor"
)
LANGUAGES = frozenset(_CODES.split())

PHRASES: dict[str, tuple[str, ...]] = {
    "eng": (
        "Good evening, and welcome back.",
        "We start with the numbers from last week.",
        'She said "not today", and hung up.',
        "Could you turn the camera a little to the left?",
        "That's the whole trick: wait, then pour.",
        "Thanks for watching & see you soon!",
    ),
    "fre": (
        "Bonsoir à toutes et à tous.",
        "L'été dernier, il n'a presque pas plu.",
        "Où est passée la clé du garage ?",
        "C'est là que tout a commencé.",
        "À la semaine prochaine !",
    ),
    "ger": (
        "Guten Abend, schön, dass Sie da sind.",
        "Über die Größe müssen wir noch sprechen.",
        "Das Mehl kommt ganz zum Schluss dazu.",
        "Straße frei, bitte weitergehen!",
    ),
    "spa": (
        "¿Me oyen bien al fondo?",
        "Mañana volvemos a intentarlo.",
        "El niño corrió hasta la orilla.",
        "¡Qué golazo en el último minuto!",
    ),
    "por": (
        "Então vamos começar do começo.",
        "A maçã caiu longe da árvore.",
        "Não, isso não está à venda.",
    ),
    "pol": (
        "Dzień dobry, nazywam się Łucja.",
        "Zażółć gęślą jaźń, proszę powtórzyć.",
        "Został jeszcze jeden przystanek.",
    ),
    "tur": ("İyi akşamlar, hoş geldiniz.", "Işığı kapatır mısın?", "Yarın yine buradayız."),
    "rus": (
        "Добрый вечер, мы в прямом эфире.",
        "Ещё немного, и поезд тронется.",
        "Подъезд закрыт до утра.",
    ),
    "ukr": ("Доброго дня, шановні глядачі.", "Їжак перебіг дорогу.", "Побачимося в п'ятницю."),
    "gre": ("Καλησπέρα σας.", "Πού είναι η θάλασσα;", "Τα λέμε αύριο."),
    "jpn": (
        "皆さん、こんばんは。",
        "次の駅で降りてください。",
        "桜が咲くのはもう少し先です。",
        "ありがとうございました！",
    ),
    "chi": ("大家晚上好。", "我们先看一下地图。", "雨停了，孩子们跑到院子里。", "下周再见！"),
    "kor": ("안녕하세요, 여러분.", "오늘은 김치를 담가 보겠습니다.", "다음에 또 만나요!"),
    "ara": ("مساء الخير أيها السادة.", "هل وصل القطار في موعده؟", "نلتقي غدا إن شاء الله."),
    "heb": ("ערב טוב לכולם.", "איפה שמת את המפתחות?", "נתראה בשבוע הבא."),
    "hin": ("नमस्ते, आपका स्वागत है।", "आज हम चाय बनाना सीखेंगे।", "फिर मिलेंगे।"),
    "tha": ("สวัสดีครับทุกคน", "วันนี้อากาศดีมาก", "แล้วพบกันใหม่"),
    "vie": ("Xin chào quý vị.", "Trời hôm nay đẹp quá!", "Hẹn gặp lại vào ngày mai."),
}

SPOKEN = tuple(PHRASES)
