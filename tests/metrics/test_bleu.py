# ruff: noqa: E501
"""BLEU in scripts with and without spaces between words."""

import unicodedata

import pytest
import sacrebleu

from collab_sdk import Evidence, Goal
from collab_sdk.metrics import as_metric


def bleu(document: str, reference: str) -> float:
    goal = Goal(text="as said", reference=reference)
    evidence = Evidence(messages=(), goal=goal, tokens={}, judgement=None, artefact=document)
    return as_metric("bleu").value(evidence)


ONE_WORD = {
    "English": (
        0.88,
        "Optimism is more than a mood. It changes how people act when things go wrong and how soon they try again.",
        "mood",
        "feeling",
    ),
    "Japanese": (
        0.93,
        "楽観主義は単なる気分ではありません。うまくいかないときに人がどう行動し、どれほど早く再び挑戦するかを変えます。",
        "気分",
        "感情",
    ),
    "Chinese": (0.9, "乐观不仅仅是一种心情。它会改变人们在遇到挫折时的行为方式以及多快再次尝试。", "心情", "感觉"),
    "Thai": (0.83, "การมองโลกในแง่ดีเป็นมากกว่าอารมณ์ มันเปลี่ยนวิธีที่ผู้คนปฏิบัติตัว", "อารมณ์", "ความรู้สึก"),
    "Korean": (
        0.87,
        "낙관주의는 단순한 기분 이상의 것이다. 그것은 일이 잘못될 때 사람들이 어떻게 행동하고 얼마나 빨리 다시 시도하는지를 바꾼다.",
        "기분",
        "감정",
    ),
    "Khmer": (0.87, "សុទិដ្ឋិនិយមគឺលើសពីអារម្មណ៍។ វាផ្លាស់ប្តូររបៀបដែលមនុស្សធ្វើសកម្មភាពនៅពេលដែលអ្វីៗខុស", "អារម្មណ៍", "ចិត្ត"),
    "Lao": (0.82, "ການເບິ່ງໂລກໃນແງ່ດີແມ່ນຫຼາຍກວ່າອາລົມ ມັນປ່ຽນວິທີທີ່ຄົນປະຕິບັດຕົວ", "ອາລົມ", "ຄວາມຮູ້ສຶກ"),
    "Burmese": (
        0.85,
        "အကောင်းမြင်ဝါဒသည် စိတ်ခံစားမှုထက် ပိုသည်။ အရာများ မှားယွင်းသောအခါ လူများ မည်သို့ပြုမူသည်ကို ပြောင်းလဲစေသည်။",
        "စိတ်ခံစားမှု",
        "အာရုံ",
    ),
    "Tibetan": (0.84, "བློ་དཀར་གྱི་ལྟ་བ་ནི་སེམས་ཁམས་ཙམ་མ་ཡིན། དེས་མི་རྣམས་ཀྱི་བྱ་སྤྱོད་བསྒྱུར་གྱི་ཡོད།", "སེམས་ཁམས", "ཚོར་སྣང"),
    "Hindi": (
        0.92,
        "आशावाद केवल एक मनोदशा नहीं है। यह बदल देता है कि जब चीजें गलत होती हैं तो लोग कैसे व्यवहार करते हैं और कितनी जल्दी फिर से कोशिश करते हैं।",
        "मनोदशा",
        "भावना",
    ),
    "Arabic": (
        0.85,
        "التفاؤل أكثر من مجرد مزاج. إنه يغير كيف يتصرف الناس عندما تسوء الأمور ومتى يحاولون مرة أخرى.",
        "مزاج",
        "شعور",
    ),
    "Russian": (
        0.91,
        "Оптимизм — это больше, чем настроение. Он меняет то, как люди поступают, когда что-то идёт не так, и как скоро они пробуют снова.",
        "настроение",
        "чувство",
    ),
    "Japanese and English": (
        0.92,
        "楽観主義 (optimism) は単なる気分ではありません。Python 3.11 のコードは readable で、人がどう行動するかを変えます。",
        "気分",
        "感情",
    ),
}
"""By language: the value, a text, a word in it, and another one for it."""


@pytest.mark.parametrize("language", ONE_WORD)
def test_a_changed_word_costs_a_little_in_every_language(language):
    value, text, word, other = ONE_WORD[language]
    assert word in text
    assert bleu(text.replace(word, other), text) == pytest.approx(value, abs=0.005)
    assert bleu(text, text) == pytest.approx(1.0)


def test_chinese_is_compared_as_sacrebleu_compares_it():
    _, text, word, other = ONE_WORD["Chinese"]
    own = sacrebleu.sentence_bleu(text.replace(word, other), [text], tokenize="zh").score
    assert bleu(text.replace(word, other), text) == pytest.approx(own / 100)


@pytest.mark.parametrize("language", ["Japanese", "Chinese", "Thai", "Khmer"])
def test_another_text_is_far_away(language):
    other = {"Japanese": "全く別の話", "Chinese": "完全不同", "Thai": "เรื่องอื่น", "Khmer": "រឿងផ្សេង"}[language]
    assert bleu(other * 8, ONE_WORD[language][1]) < 0.1


def test_latin_words_in_other_scripts_stay_whole():
    text = "これは Python のコードです。読みやすさが大切です。"
    assert bleu(text.replace("Python", "Pascal"), text) == bleu(text.replace("Python", "Fortran"), text) > 0.8


@pytest.mark.parametrize(
    "text", ["déjà vu, à Évian où tout va bien", "Việt Nam là một đất nước đẹp", "한국어는 아름다운 언어이다"]
)
def test_the_same_letters_in_another_encoding_are_the_same(text):
    assert bleu(unicodedata.normalize("NFD", text), text) == pytest.approx(1.0)


def test_a_full_stop_is_no_part_of_the_last_word():
    assert bleu("यह एक अच्छा दिन है", "यह एक अच्छा दिन है।") > 0.7
