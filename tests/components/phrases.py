"""Ordinary sentences in languages of many scripts, for tests."""

from __future__ import annotations

import itertools

ENGLISH = (
    "Where is the nearest railway station, please?",
    "I would like a cup of hot tea with milk and a little sugar.",
    "My younger sister has been studying medicine in Berlin for three years.",
    "The meeting has been moved to Thursday because of the public holiday.",
    "Please switch off your phone before the performance begins.",
    "It rained the whole night, and this morning the streets are under water.",
    "He forgot his umbrella on the bus again.",
    "We have not received your payment for the last two months yet.",
    "Could you tell me how much this blue jacket costs?",
    "The new library is much larger than the old one.",
    "She reads the newspaper every morning while she eats breakfast.",
    "The children are playing football in the park behind the school.",
)
TRANSLATIONS: dict[str, tuple[str, ...]] = {
    "zh": (
        "请问最近的火车站在哪里？",
        "我想要一杯加牛奶和一点糖的热茶。",
        "我妹妹在柏林学医已经三年了。",
        "因为公共假期，会议改到了星期四。",
        "演出开始前请关闭手机。",
        "下了一整夜的雨，今天早上街道都被水淹了。",
        "他又把雨伞忘在公交车上了。",
        "我们还没有收到您最近两个月的付款。",
        "请问这件蓝色的夹克多少钱？",
        "新图书馆比旧图书馆大得多。",
        "她每天早上一边吃早饭一边看报纸。",
        "孩子们正在学校后面的公园里踢足球。",
    ),
    "ja": (
        "すみません、一番近い駅はどこですか。",
        "ミルクと砂糖を少し入れた温かい紅茶を一杯ください。",
        "妹は三年前からベルリンで医学を勉強しています。",
        "祝日のため、会議は木曜日に変更されました。",
        "開演前に携帯電話の電源をお切りください。",
        "一晩中雨が降って、今朝は通りが水浸しです。",
        "彼はまたバスに傘を忘れました。",
        "過去二か月分のお支払いをまだ受け取っておりません。",
        "この青いジャケットはいくらか教えていただけますか。",
        "新しい図書館は古い図書館よりずっと大きいです。",
        "彼女は毎朝、朝食を食べながら新聞を読みます。",
        "子供たちは学校の裏の公園でサッカーをしています。",
    ),
    "ko": (
        "실례지만 가장 가까운 기차역이 어디에 있나요?",
        "우유와 설탕을 조금 넣은 따뜻한 차 한 잔 주세요.",
        "제 여동생은 베를린에서 삼 년째 의학을 공부하고 있습니다.",
        "공휴일 때문에 회의가 목요일로 변경되었습니다.",
        "공연이 시작되기 전에 휴대전화를 꺼 주십시오.",
        "밤새 비가 와서 오늘 아침에는 거리가 물에 잠겼습니다.",
        "그는 또 버스에 우산을 두고 내렸습니다.",
        "지난 두 달 치 대금을 아직 받지 못했습니다.",
        "이 파란색 재킷이 얼마인지 알려 주시겠어요?",
        "새 도서관은 예전 도서관보다 훨씬 큽니다.",
        "그녀는 매일 아침 식사를 하면서 신문을 읽습니다.",
        "아이들이 학교 뒤 공원에서 축구를 하고 있습니다.",
    ),
    "th": (
        "ขอโทษครับ สถานีรถไฟที่ใกล้ที่สุดอยู่ที่ไหน",
        "ฉันอยากได้ชาร้อนใส่นมกับน้ำตาลนิดหน่อยหนึ่งแก้ว",
        "น้องสาวของฉันเรียนแพทย์อยู่ที่เบอร์ลินมาสามปีแล้ว",
        "การประชุมถูกเลื่อนไปเป็นวันพฤหัสบดีเพราะเป็นวันหยุดราชการ",
        "กรุณาปิดโทรศัพท์ก่อนการแสดงจะเริ่ม",
        "ฝนตกทั้งคืน และเช้านี้ถนนก็จมอยู่ใต้น้ำ",
        "เขาลืมร่มไว้บนรถเมล์อีกแล้ว",
        "เรายังไม่ได้รับเงินของคุณสำหรับสองเดือนที่ผ่านมา",
        "ช่วยบอกหน่อยได้ไหมว่าเสื้อแจ็กเก็ตสีน้ำเงินตัวนี้ราคาเท่าไร",
        "ห้องสมุดใหม่ใหญ่กว่าห้องสมุดเก่ามาก",
        "เธออ่านหนังสือพิมพ์ทุกเช้าขณะกินอาหารเช้า",
        "เด็ก ๆ กำลังเล่นฟุตบอลในสวนสาธารณะหลังโรงเรียน",
    ),
    "ar": (
        "أين تقع أقرب محطة قطار من فضلك؟",
        "أود كوبًا من الشاي الساخن مع الحليب وقليل من السكر.",
        "تدرس أختي الصغرى الطب في برلين منذ ثلاث سنوات.",
        "تم تأجيل الاجتماع إلى يوم الخميس بسبب العطلة الرسمية.",
        "يرجى إغلاق هاتفك قبل بدء العرض.",
        "هطل المطر طوال الليل، وغمرت المياه الشوارع هذا الصباح.",
        "لقد نسي مظلته في الحافلة مرة أخرى.",
        "لم نستلم بعد دفعتك عن الشهرين الماضيين.",
        "هل يمكنك أن تخبرني كم سعر هذه السترة الزرقاء؟",
        "المكتبة الجديدة أكبر بكثير من المكتبة القديمة.",
        "تقرأ الصحيفة كل صباح وهي تتناول الفطور.",
        "يلعب الأطفال كرة القدم في الحديقة خلف المدرسة.",
    ),
    "hi": (
        "कृपया बताइए, सबसे नज़दीकी रेलवे स्टेशन कहाँ है?",
        "मुझे दूध और थोड़ी चीनी वाली एक कप गरम चाय चाहिए।",
        "मेरी छोटी बहन तीन साल से बर्लिन में चिकित्सा की पढ़ाई कर रही है।",
        "सार्वजनिक अवकाश के कारण बैठक गुरुवार को कर दी गई है।",
        "कृपया प्रदर्शन शुरू होने से पहले अपना फ़ोन बंद कर दें।",
        "सारी रात बारिश हुई और आज सुबह सड़कें पानी में डूबी हैं।",
        "वह फिर से अपना छाता बस में भूल गया।",
        "हमें पिछले दो महीनों का आपका भुगतान अब तक नहीं मिला है।",
        "क्या आप बता सकते हैं कि यह नीली जैकेट कितने की है?",
        "नया पुस्तकालय पुराने से बहुत बड़ा है।",
        "वह हर सुबह नाश्ता करते हुए अख़बार पढ़ती है।",
        "बच्चे स्कूल के पीछे पार्क में फ़ुटबॉल खेल रहे हैं।",
    ),
    "fi": (
        "Anteeksi, missä on lähin rautatieasema?",
        "Haluaisin kupin kuumaa teetä maidolla ja vähällä sokerilla.",
        "Pikkusiskoni on opiskellut lääketiedettä Berliinissä kolme vuotta.",
        "Kokous on siirretty torstaille yleisen vapaapäivän vuoksi.",
        "Sulkekaa puhelimenne ennen esityksen alkua.",
        "Satoi koko yön, ja tänä aamuna kadut ovat veden alla.",
        "Hän unohti taas sateenvarjonsa bussiin.",
        "Emme ole vielä saaneet maksuanne kahdelta viime kuukaudelta.",
        "Voisitteko kertoa, paljonko tämä sininen takki maksaa?",
        "Uusi kirjasto on paljon suurempi kuin vanha.",
        "Hän lukee sanomalehteä joka aamu syödessään aamiaista.",
        "Lapset pelaavat jalkapalloa puistossa koulun takana.",
    ),
    "ru": (
        "Подскажите, пожалуйста, где ближайший вокзал?",
        "Я хотел бы чашку горячего чая с молоком и немного сахара.",
        "Моя младшая сестра уже три года изучает медицину в Берлине.",
        "Собрание перенесли на четверг из-за праздничного дня.",
        "Пожалуйста, выключите телефон перед началом представления.",
        "Всю ночь шёл дождь, и сегодня утром улицы под водой.",
        "Он снова забыл свой зонт в автобусе.",
        "Мы ещё не получили вашу оплату за последние два месяца.",
        "Скажите, пожалуйста, сколько стоит эта синяя куртка?",
        "Новая библиотека намного больше старой.",
        "Каждое утро за завтраком она читает газету.",
        "Дети играют в футбол в парке за школой.",
    ),
}
"""The translations of ENGLISH by language."""


def pairs(language: str) -> list[tuple[str, str]]:
    """The twelve pairs of English and a language."""
    return list(zip(ENGLISH, TRANSLATIONS[language], strict=True))


def corpus(language: str, rows: int = 144) -> list[tuple[str, str]]:
    """Distinct pairs: each phrase alone, then two phrases in a row; at most 156."""
    single = pairs(language)
    joined = [
        (f"{first[0]} {second[0]}", f"{first[1]} {second[1]}")
        for first, second in itertools.product(single, single)
    ]
    return (single + joined)[:rows]
