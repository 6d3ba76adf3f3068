"""Which messages only say goodbye, thanks or that all is well, in thirty languages; and which are answers."""

from pathlib import Path

import pytest

import collab_sdk.farewells
from collab_sdk.farewells import is_farewell

FAREWELLS = {
    "English": ["Thanks a lot, bye!", "See you later!", "No, thank you.", "You too!", "Good night.", "No problem."],
    "Spanish": ["¡Muchas gracias, hasta luego!", "De nada.", "Que tengas un buen día", "Buenas noches"],
    "French": ["Merci beaucoup, au revoir !", "De rien.", "Bonne soirée", "Bon week-end !", "À bientôt"],
    "German": ["Vielen Dank, auf Wiedersehen!", "Keine Ursache.", "Schönen Tag noch", "Gute Nacht", "Bis dann"],
    "Italian": ["Grazie mille, arrivederci", "Di niente!", "Buona serata", "A presto", "Non c'è di che"],
    "Portuguese": ["Muito obrigado, tchau", "De nada", "Tenha uma boa noite", "Até logo", "Bom fim de semana"],
    "Dutch": ["Dank je wel, tot ziens", "Graag gedaan", "Fijne dag nog", "Doei", "Geen dank"],
    "Swedish": ["Tack så mycket, hej då", "Ingen orsak", "Ha en bra dag", "Vi ses"],
    "Danish": ["Mange tak, farvel", "Det var så lidt", "Hav det godt", "I lige måde"],
    "Norwegian": ["Tusen takk, ha det bra", "Bare hyggelig", "God kveld", "Vi snakkes"],
    "Finnish": ["Kiitos paljon, näkemiin", "Ei kestä", "Hyvää yötä", "Ole hyvä"],
    "Polish": ["Dziękuję bardzo, do widzenia", "Nie ma za co", "Miłego dnia", "Na razie", "Dobranoc"],
    "Czech": ["Děkuji moc, na shledanou", "Není zač", "Hezký den", "Dobrou noc", "Rádo se stalo"],
    "Hungarian": ["Nagyon köszönöm, viszlát", "Nincs mit", "Szép napot", "Jó éjszakát"],
    "Romanian": ["Mulțumesc mult, la revedere", "Cu plăcere", "O zi bună", "Pe curând"],
    "Turkish": ["Çok teşekkür ederim, hoşça kal", "Bir şey değil", "İyi günler", "Güle güle", "Rica ederim"],
    "Russian": ["Большое спасибо, до свидания", "Не за что", "Хорошего дня", "Всего доброго", "Спокойной ночи"],
    "Ukrainian": ["Дуже дякую, до побачення", "Нема за що", "Гарного дня", "На добраніч"],
    "Greek": ["Ευχαριστώ πολύ, αντίο", "Καλό βράδυ", "Καλή νύχτα", "Τα λέμε"],
    "Hebrew": ["תודה רבה, להתראות", "אין בעד מה", "לילה טוב", "על לא דבר"],
    "Arabic": ["شكرا جزيلا، مع السلامة", "على الرحب والسعة", "ليلة سعيدة", "إلى اللقاء"],
    "Persian": ["خیلی ممنون، خداحافظ", "خواهش می‌کنم", "شب بخیر", "روز خوبی داشته باشید"],
    "Hindi": ["बहुत धन्यवाद, फिर मिलेंगे", "कोई बात नहीं", "शुभ रात्रि", "आपका दिन शुभ हो"],
    "Bengali": ["অনেক ধন্যবাদ, আবার দেখা হবে", "ঠিক আছে", "শুভ রাত্রি"],
    "Indonesian": ["Terima kasih banyak, sampai jumpa", "Sama-sama", "Selamat malam", "Terima kasih kembali"],
    "Vietnamese": ["Cảm ơn bạn rất nhiều, tạm biệt", "Không có gì", "Chúc ngủ ngon", "Hẹn gặp lại"],
    "Korean": ["정말 감사합니다, 안녕히 계세요", "천만에요", "좋은 하루 되세요", "또 봐요"],
    "Japanese": ["ありがとうございました。それではまた", "どういたしまして", "良い一日を", "また明日"],
    "Chinese": ["非常感谢，再见", "不客气", "祝您生活愉快", "謝謝您，明天見", "晚安"],
    "Thai": ["ขอบคุณมากค่ะ", "ไม่เป็นไร", "ราตรีสวัสดิ์", "แล้วเจอกันนะ"],
}
ANSWERS = {
    "English": ["take that one", "No, that's the problem.", "one", "the day is it", "one night", "evening", "so soon?"],
    "Spanish": ["una semana", "nada", "por la tarde", "noches", "mucho tiempo", "un día", "luego"],
    "French": ["une semaine", "rien", "la nuit", "une journée", "tout", "le week-end"],
    "German": ["ein Tag", "Abend", "nichts", "das Wochenende", "viel", "ja", "auch das noch"],
    "Italian": ["niente", "una settimana", "la notte", "molto", "tutto", "di notte"],
    "Portuguese": ["nada", "uma semana", "à noite", "um dia", "tudo", "sempre"],
    "Dutch": ["een dag", "avond", "niets", "alles", "morgen", "veel"],
    "Swedish": ["en dag", "kväll", "så mycket", "en"],
    "Danish": ["en dag", "aften", "alt", "så mange"],
    "Norwegian": ["en dag", "i kveld", "alt", "mange"],
    "Finnish": ["illan", "paljon", "ei", "yötä"],
    "Polish": ["do wieczoru", "bardzo", "nie", "na noc"],
    "Czech": ["den", "večer", "ještě jednou", "není"],
    "Hungarian": ["este", "nagyon", "én is", "éjszakát"],
    "Romanian": ["o noapte", "seară", "o zi", "nimic", "toate"],
    "Turkish": ["bir", "çok", "hepsi", "geceler"],
    "Russian": ["день", "вечера", "всё", "ночи", "не", "очень"],
    "Ukrainian": ["дня", "завтра", "усього", "не"],
    "Greek": ["βράδυ", "τίποτα", "μέρα", "πολύ"],
    "Hebrew": ["יום", "ערב", "לילה", "המון"],
    "Arabic": ["يوم", "ليلة", "لا"],
    "Persian": ["شب", "روز", "خیلی"],
    "Hindi": ["दिन", "रात्रि", "जी हाँ", "बहुत"],
    "Bengali": ["দিন", "অনেক"],
    "Indonesian": ["malam", "sore hari", "banyak", "lagi"],
    "Vietnamese": ["một ngày", "rất nhiều", "vâng", "không"],
    "Korean": ["하루", "저녁", "네", "보내세요"],
    "Japanese": ["明日", "一日", "はい", "夜を", "今度"],
    "Chinese": ["今天", "一天", "明天", "一个", "太"],
    "Thai": ["มี", "ค่ะ", "มาก"],
}


@pytest.mark.parametrize("language", FAREWELLS)
def test_what_people_say_to_part_is_a_farewell(language):
    assert [text for text in FAREWELLS[language] if not is_farewell(text)] == []


@pytest.mark.parametrize("language", ANSWERS)
def test_words_that_stand_in_other_answers_as_often_are_no_farewell(language):
    assert [text for text in ANSWERS[language] if is_farewell(text)] == []


def test_every_language_tells_a_farewell_from_what_stands_beside_it():
    lines = Path(collab_sdk.farewells.__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines()[1:]
    assert all(len(line.split(" | ")) == 2 for line in lines)
    assert len({line.partition(",")[0].partition(":")[0].rstrip("*") for line in lines}) == len(FAREWELLS)


@pytest.mark.parametrize(
    "text",
    ["", " ", "!?", "🙂", "thanks " * 30, "好的" * 50 + "x", "Thanks, but where is my coffee?", "danke for nothing"],
)
def test_other_texts_are_no_farewell(text):
    assert not is_farewell(text)
