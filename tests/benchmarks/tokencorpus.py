"""The texts that token counts are measured on, by kind; every other text of a kind is used for fitting.

MT-Bench's questions are from lm-sys/FastChat (Apache-2.0, see sample_data); code and documentation are from this
repository; all other texts were written for this file.
"""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["corpus"]

_ROOT = Path(__file__).parents[2]
_CODE_FILES = 40
_PIECE = 1_500


def corpus() -> dict[str, list[str]]:
    """The texts of each kind."""
    code = sorted((_ROOT / "batchchat").rglob("*.py"))[:_CODE_FILES]
    return {
        "English": _questions() + _pieces((_ROOT / "CONTRIBUTING.md").read_text()),
        "code": [piece for path in code for piece in _pieces(path.read_text())],
        "JSON and figures": [_figures(number) for number in range(24)],
        "European": _EUROPEAN,
        "Chinese": _CHINESE,
        "Japanese": _JAPANESE,
        "Korean": _KOREAN,
        "Cyrillic": _CYRILLIC,
        "Greek": _GREEK,
        "emoji": _EMOJI,
        "other scripts": _OTHER,
    }


def _questions() -> list[str]:
    path = _ROOT / "sample_data" / "mt_bench_first_questions.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [text for row in rows for text in _texts(row)]


def _texts(row: dict[str, object]) -> list[str]:
    if isinstance(messages := row.get("messages"), list):
        return [message["content"] for message in messages]
    return [text for text in (row.get("prompt"), row.get("question")) if isinstance(text, str)]


def _pieces(text: str) -> list[str]:
    return [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]


def _figures(number: int) -> str:
    rows = [
        {
            "id": f"r{number * 97 + row:05}",
            "price": (number + 1) * row / 7,
            "n": row**5,
            "at": f"2026-11-{row + 1:02}T08:30",
        }
        for row in range(6)
    ]
    return json.dumps(rows, indent=2 if number % 2 else None)


# ruff: noqa: RUF001 (other scripts look like ours)
_EUROPEAN = [
    "Können Sie mir bitte erklären, wie man ein Brot backt, das außen knusprig und innen weich ist?",
    "Am nächsten Morgen fuhren wir über die Brücke zur Insel, wo die Häuser bunt sind und die Möwen schreien.",
    "Schreibe eine Zusammenfassung des Vertrags und nenne die wichtigsten Pflichten beider Parteien in einer Liste.",
    "Der Zug nach Köln fällt heute aus; Reisende werden gebeten, die nächste Verbindung über Düsseldorf zu nehmen.",
    "Pourriez-vous m'expliquer la différence entre une thèse et un mémoire, avec un exemple tiré de la biologie ?",
    "Le boulanger du village se lève à trois heures ; à l'aube, l'odeur du pain chaud remplit déjà toute la rue.",
    "Rédigez une lettre de réclamation polie à un hôtel où la chambre n'était pas conforme à la réservation.",
    "Elle a été élevée près de la forêt, où son père réparait des horloges et sa mère enseignait le piano.",
    "¿Cuáles son las principales causas de la inflación y cómo afectan a los hogares con menos ingresos?",
    "El niño corrió hacia la playa con su perro mientras el sol se escondía detrás de las montañas.",
    "Escribe un poema breve sobre el otoño en la ciudad, sin rimas, en el que aparezca un tranvía amarillo.",
    "La reunión se aplazó hasta el próximo miércoles porque faltaban los documentos del año pasado.",
    "Qual é a melhor maneira de aprender programação começando do zero, com apenas uma hora por dia?",
    "A chuva não parou durante três dias, e as ruas da vila pareciam rios que levavam folhas e papéis.",
    "Może mi pan powiedzieć, o której godzinie odjeżdża następny pociąg do Krakowa i ile kosztuje bilet?",
    "Wieczorem usiedliśmy przy ognisku, śpiewając pieśni, których nauczyła nas babcia w dzieciństwie.",
    "Açıklar mısınız, bu sözleşmenin üçüncü maddesi kiracının hangi yükümlülüklerini düzenliyor?",
    "Sabah erkenden çarşıya gittik; balıkçılar tezgâhlarını kuruyor, çaycılar bardakları diziyordu.",
    "Vysvětlete prosím, proč se obloha při západu slunce zbarvuje do červena a oranžova.",
    "Hur förklarar man skillnaden mellan väder och klimat för en klass med tioåringar på ett enkelt sätt?",
]
_CHINESE = [
    "请解释一下量子计算和经典计算之间的主要区别，并举一个日常生活中的例子。",
    "昨天下午，我和朋友们一起去公园散步，看到湖边的柳树已经发芽，孩子们在草地上放风筝。",
    "写一封正式的邮件，通知客户项目将推迟两周交付，并说明原因和补救措施。",
    "小城的早晨总是从豆浆和油条的香味开始，老人们提着鸟笼慢慢走过石桥。",
    "如何用五百元的预算为六个人准备一顿健康的晚餐？请列出菜单和采购清单。",
    "人工智能的发展给教育带来了哪些机会和挑战？教师的角色会发生怎样的变化？",
    "他在信里写道，山里的雪还没有融化，但是梅花已经开了，整个院子都是清香。",
    "请把下面这段话翻译成英文，并保持原来的语气：我们很高兴地宣布新产品正式上市。",
    "根据表格中的数据，第三季度的销售额比去年同期增长了百分之十二，主要来自华东地区。",
    "學習一門新語言最困難的部分是什麼？請分享三個有效的方法，並說明理由。",
    "夜裡下了一場大雨，清晨的街道非常乾淨，賣花的婆婆已經在轉角處擺好了攤位。",
    "这个函数的时间复杂度是多少？如果输入的数组已经排好序，有没有更快的算法？",
]
_JAPANESE = [
    "日本の四季について、それぞれの季節の特徴と代表的な行事を説明してください。",
    "昨日の夜、駅前の小さなラーメン屋で友達と久しぶりに会って、遅くまで昔の話をしました。",
    "会議の日程を来週の水曜日に変更したい旨を、取引先に丁寧に伝えるメールを書いてください。",
    "機械学習のモデルが過学習しているかどうかを判断するには、どのような方法がありますか。",
    "祖母の家の庭には大きな柿の木があり、秋になると近所の子どもたちが集まってきた。",
    "コンピューターのメモリとストレージの違いを、小学生にもわかるように教えてください。",
    "雨が上がると、山の向こうに虹が見えた。列車はゆっくりとトンネルを抜けていった。",
    "このプログラムのエラーメッセージの意味と、直し方を順番に教えてもらえますか。",
    "東京から京都まで新幹線で行く場合の料金と所要時間を比べて、表にまとめてください。",
    "新しいスマートフォンを選ぶときに、いちばん大切なポイントは何だと思いますか。",
]
_KOREAN = [
    "한국의 전통 음식 중에서 외국인에게 가장 추천하고 싶은 것은 무엇이며 그 이유는 무엇입니까?",
    "어제 저녁에 비가 많이 와서 우리는 집에서 영화를 보면서 따뜻한 차를 마셨다.",
    "고객에게 배송이 늦어진 것에 대해 사과하는 정중한 이메일을 작성해 주세요.",
    "인공지능이 의료 분야에서 어떻게 사용되고 있는지 세 가지 예를 들어 설명해 주세요.",
    "할머니는 새벽마다 시장에 나가 직접 기른 채소를 팔고 돌아오는 길에 떡을 사 오셨다.",
    "다음 문장을 영어로 번역하고 문법적으로 중요한 부분을 설명해 주십시오.",
    "프로그래밍을 처음 배우는 사람이 가장 많이 하는 실수는 무엇인가요?",
    "가을이 되면 산은 붉게 물들고 강가에는 갈대가 바람에 흔들린다.",
]
_CYRILLIC = [
    "Объясните, пожалуйста, разницу между инфляцией и девальвацией на простом примере.",
    "Вечером мы сидели у реки, слушали, как шумит вода, и вспоминали прошлое лето.",
    "Напишите вежливое письмо клиенту о том, что поставка задерживается на две недели.",
    "Старый мост давно не чинили, и каждую весну по нему боялись ездить тяжёлые машины.",
    "Какие алгоритмы сортировки работают быстрее всего на почти упорядоченных данных?",
    "Поясніть, будь ласка, як працює двигун внутрішнього згоряння і чому він потребує мастила.",
    "Бабуся щоранку ходила на базар і поверталася з повним кошиком яблук та свіжого хліба.",
    "Обяснете защо небето е синьо през деня, а червено при залез, с прости думи.",
]
_GREEK = [
    "Μπορείτε να μου εξηγήσετε τη διαφορά ανάμεσα στη δημοκρατία και την ολιγαρχία;",
    "Το πρωί η θάλασσα ήταν ήρεμη και οι ψαράδες επέστρεφαν με τις βάρκες γεμάτες.",
    "Γράψτε ένα σύντομο ποίημα για το φθινόπωρο σε μια μικρή πόλη κοντά στη λίμνη.",
    "Ποια είναι τα βασικά βήματα για να ξεκινήσει κανείς μια μικρή επιχείρηση;",
]
_EMOJI = [
    "Good morning! ☀️😀 Ready for the day? 💪🔥",
    "🎉🎂 Happy birthday to you! 🥳🎁🎈 Have a wonderful party 🍰",
    "Rate this hotel: ⭐⭐⭐⭐☆ The view 🌅 was great, the food 🍝🍷 even better 👍👍",
    "Translate to words: 🐱➡️🏠➡️🐟😋",
    "👩‍💻👨‍🍳 Who are they, and what do they do all day? 🤔",
    "Our trip: ✈️ Paris 🗼🥐, 🚆 Rome 🏛️🍕, 🚢 Athens 🏺🫒 and 🏠 home 😴",
    "I can't believe it 😂😂😂 you did what?! 🙈🙈",
    "Weather: Mon 🌧️ Tue ⛅ Wed ☀️ Thu ⛈️ Fri ❄️",
]
_OTHER = [
    "ما هي أفضل طريقة لتعلم لغة جديدة في وقت قصير، وما هي الأخطاء الشائعة؟",
    "في الصباح الباكر خرج الصيادون إلى البحر وعادوا قبل الظهر بسلال مليئة بالسمك.",
    "اكتب رسالة رسمية تعتذر فيها عن تأخر الشحنة وتقترح موعدا جديدا للتسليم.",
    "מה ההבדל בין מזג אוויר לאקלים, ואיך אפשר להסביר זאת לילדים בכיתה ד?",
    "בערב ישבנו על המרפסת, שתינו תה חם והקשבנו לגשם שירד על הגגות.",
    "भारत में मानसून क्यों आता है और किसानों के लिए इसका क्या महत्व है?",
    "सुबह होते ही बाज़ार में सब्ज़ी बेचने वालों की आवाज़ें गूँजने लगीं।",
    "कृपया इस अनुच्छेद का सारांश तीन वाक्यों में लिखिए और शीर्षक सुझाइए।",
    "ช่วยอธิบายความแตกต่างระหว่างสภาพอากาศกับภูมิอากาศให้หน่อยได้ไหม",
    "ตอนเช้าตลาดเต็มไปด้วยผู้คนที่มาซื้อผักสดและดอกไม้",
]
