"""Sentences in many scripts, written for this project: the tokenizers learn from them and are asked about them."""

SENTENCES = """
The quick brown fox jumps over the lazy dog, and the dog doesn't mind at all.
A coordinator cuts the layers of a model into stages; each worker runs the stage that fits its memory.
It's raining again. We'll wait until it's over, they've said, but I'm not sure that we can.
She'd have told you if you'd asked; he can't remember what they're looking for.
Once upon a time there was a small machine in a large room, and it counted everything it could see.
Please write a short story about a river, a bridge and the two people who meet there every morning.
How many tokens per second does it generate, and how much memory does it need for 4096 tokens?
What is the capital of France? The capital of France is Paris.
Le garçon a mangé une crêpe à côté de l'hôtel où l'été s'achève déjà.
Nous avons reçu votre lettre; où êtes-vous allés après Noël? C'était très agréable.
Die Straße führt über die Brücke; größere Häuser stehen schöner am Fluss, sagt der Müller.
Können Sie mir bitte erklären, warum das Gerät nicht mehr läuft? Natürlich, gern.
El niño pequeño soñó con un pingüino; ¿cuándo volverá mañana? ¡Qué alegría!
A manhã está fria, mas o coração não. Amanhã haverá pão e maçãs na mesa.
Città antica, perché così è più bella: già domani sarà un'altra età.
Zażółć gęślą jaźń; źdźbło trawy rośnie między ścieżkami. Dziękuję bardzo.
Příliš žluťoučký kůň úpěl ďábelské ódy, řekl člověk u okna.
Åsa och Örjan åkte till ön för att få färsk fisk; blåbär växer överallt.
Çocuklar güneşli bir günde ırmağın kıyısında şarkı söyledi; İstanbul çok büyük.
Tiếng Việt có nhiều dấu thanh; người ta nói rằng đường đến đó rất đẹp.
Az árvíztűrő tükörfúrógép működik; köszönöm szépen a segítséget.
Η γρήγορη αλεπού πηδάει πάνω από τον τεμπέλη σκύλο, και ο ήλιος ανατέλλει.
Καλημέρα σας, πώς είστε σήμερα; Η θάλασσα είναι ήρεμη και ο ουρανός γαλανός.
Съешь ещё этих мягких французских булок да выпей чаю, сказал старый друг.
Быстрая река течёт под мостом; каждое утро люди идут на работу и говорят о погоде.
Щастя не за горами: їхній дім стоїть біля ріки, а ґанок виходить на схід.
Човек не може да живее само с хляб, но без хляб не може изобщо.
كان هناك رجل يسكن قرب النهر، وكان يكتب كل صباح رسالة إلى أصدقائه.
مرحبا بكم في المدينة الكبيرة؛ كم الساعة الآن؟ الساعة ٣:٤٥ تقريبا.
سلام، امروز هوا خیلی خوب است و می‌خواهیم به کوه برویم.
שלום לכולם, היום יום יפה מאוד ואנחנו הולכים לים. תודה רבה!
בראשית היה הרעיון, ואחר כך באו המילים והמספרים.
एक समय की बात है, नदी के किनारे एक छोटा सा गाँव था जहाँ सब लोग मिलकर रहते थे।
मुझे हिन्दी में लिखना अच्छा लगता है, क्योंकि यह मेरी भाषा है। १२३४५
আমার সোনার গ্রাম নদীর ধারে, সেখানে প্রতিদিন সকালে পাখি ডাকে।
தமிழ் ஒரு பழமையான மொழி; காலை வணக்கம் நண்பர்களே.
వెన్నెల రాత్రి నది ఒడ్డున పిల్లలు ఆడుకుంటున్నారు.
วันนี้อากาศดีมาก เราจะไปเที่ยวทะเลกับเพื่อนๆ และกินข้าวด้วยกัน
ภาษาไทยไม่มีการเว้นวรรคระหว่างคำ ๑๒๓๔
今天天气很好，我们一起去公园散步吧。你吃饭了吗？
从前有一台小机器，它住在一个很大的房间里，每天数着它看到的一切。
人工智能模型需要很多内存；我们把它的层分给几台机器。
請問圖書館在哪裡？謝謝您的幫助，祝您有美好的一天！
今日はとても良い天気ですね。公園まで散歩しませんか？
吾が輩は小さな機械である。名前はまだない。カタカナとひらがなと漢字。
東京から大阪まで新幹線で二時間半かかります。
오늘은 날씨가 정말 좋아요. 우리 같이 공원에 산책하러 갈까요?
한국어는 띄어쓰기가 중요합니다. 안녕하세요, 만나서 반갑습니다.
გამარჯობა, როგორ ხარ? დღეს კარგი ამინდია.
Բարեւ ձեզ, այսօր լավ օր է։
ሰላም፣ ዛሬ ጥሩ ቀን ነው።
ខ្ញុំស្រលាញ់ភាសាខ្មែរ។ ສະບາຍດີ. မင်္ဂလာပါ။
😀 😃 😄 🙂 🤖 🚀 👍 ❤️ ✨ 🎉 🔥 😂 🥺 🙏 👀
👨‍👩‍👧‍👦 👩🏽‍💻 🏳️‍🌈 👍🏿 🇫🇷 🇯🇵 🇧🇷 1️⃣ #️⃣ ☕️ 🧑‍🚀 🤷‍♂️
∀x ∈ ℝ: ⌈x⌉ = −⌊−x⌋, α ∧ ¬β = ¬(¬α ∨ β), ∑ᵢ xᵢ² ≤ ∞, ½ + ¼ = ¾, E = mc²
€12.50, £3.99, ¥1,000, $0.99, ₹500 — “quoted” ‘text’ … «guillemets» „deutsch“ • item № 5 ™ © ® ° ± × ÷
3.14159 2.71828 1,000,000 0x7fff 1e-05 2024-02-29 12:34:56 +49 30 123456 192.168.0.1 v1.2.3
""".strip().split("\n")

CODE = [
    "for (int i = 0; i < n; ++i) {\n    sum += values[i] * 2;\n}\n",
    "def add(a, b):\n    \"\"\"Adds two numbers.\"\"\"\n    return a + b\n\n\nprint(add(1, 2))\n",
    "if __name__ == '__main__':\n\tmain(sys.argv[1:])\n",
    "#include <vector>\n\nstd::vector<int> v = {1, 2, 3};\n",
    "SELECT name, COUNT(*) FROM users WHERE age >= 18 GROUP BY name ORDER BY 2 DESC;",
    "{\"key\": [1, 2.5, null, true], \"nested\": {\"a\": \"b\\n\"}}",
    "<div class=\"box\">\n  <p>Hello &amp; goodbye</p>\n</div>",
    "curl -s https://example.org/a/b?c=d&e=%20f#g | jq '.items[0].id' > out.txt 2>&1",
    "fn main() {\r\n    println!(\"{}\", x?);\r\n}\r\n",
    "const f = async (x) => { await g(x ?? 0); return `${x}`; };",
    "\\frac{1}{\\sqrt{2\\pi}} e^{-x^2/2}",
    "| a | b |\n|---|:-:|\n| 1 | 2 |\n",
    "# Title\n\n- item one\n- item two\n    - nested\n\n```python\nx = 1\n```\n",
    "path/to/file_name-v2.tar.gz  C:\\Users\\me\\file.txt",
    "user.name+tag@example.com, @handle, #hashtag, 50%, a_b_c, camelCase, PascalCase, SCREAMING_CASE",
]
