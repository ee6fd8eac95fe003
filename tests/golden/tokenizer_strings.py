"""The strings that the tokenizers are asked about: hand-picked ones and seeded random ones."""

import random
import unicodedata

from corpus import CODE, SENTENCES

CONTRACTIONS = "it's IT'S it'S don't DON'T Don'T we're WE'RE we'RE I've I'VE I'm I'M i'M you'll YOU'LL he'd HE'D".split()

HAND_PICKED = [
    "",
    " ",
    "a",
    "\n",
    "Hello, world!",
    " Hello",
    "Hello ",
    "  Hello  world  ",
    "\tTabbed\ttext\t",
    "line one\nline two\n\nline four\r\n\r\nline seven\r",
    " \n \n ",
    "a \nb",
    "a  \n  b",
    "a\u00a0b\u3000c\u2003d\u2028e\u2029f\u0085g\u200bh\ufeffi\u180ej",
    "x\x00y\x01z\x07\x08\x0b\x0c\x1b[0m\x7f\x80\x9f",
    "\ufffd\ufffe\uffff\ue000\uf8ff\U000f0000\U0010ffff\u0378",
    # Contractions: case folding reaches beyond ASCII (U+017F folds to s), curly apostrophes do not count.
    " ".join(CONTRACTIONS),
    "it'\u017f don'\u0074 '\u017ftop",
    "it\u2019s don\u2019t",
    "'s't're've'm'll'd",
    "'S'T'RE'VE'M'LL'D'Re'rE'Ll'lL'Ve'vE",
    "rock'n'roll 'tis o'clock l'été d'accord",
    "x'sy x'ty x'rey x'dy",
    # What NFC changes.
    "e\u0301 \u00e9 E\u0301cole n\u0303 A\u030a \u212b \u2126 \u212a",
    "\u1100\u1161\u11a8 \uac01 \u1112\u1161\u11ab\u1100\u1173\u11af",
    "q\u0323\u0307 q\u0307\u0323 \u1e9b\u0323 d\u0323\u0307",
    "\u0958\u095f \u0915\u093c \u0a59 \u0f43 \ufb2a \u2adc",
    "\u0344 \u0374 \u037e \u0387 \u1fef \u2000\u2001",
    "\uf900 \ufa10 \U0002f800 \u6f22",
    "a\u0300\u0301\u0302\u0303\u0304\u0305\u0306\u0307\u0308\u0309",
    "\u0301 starts with a mark",
    "\u0627\u0653 \u0622 \u0648\u0654 \u064a\u0654",
    "ffi \ufb01 \ufb03 \u2460 \u33a1 \uff21\uff22\uff23 \uff11\uff12\uff13",
    "Z\u0351\u036b\u0343a\u0363\u0340l\u0348g\u032bo\u0321",
    # Numbers of every kind.
    "0 1 12 123 1234 12345 123456 1234567 12345678901234567890",
    "1.5 1,000,000.00 1e10 0xDEADBEEF 0b1010 007",
    "\u0661\u0662\u0663\u0664 \u0967\u0968\u0969 \u0e51\u0e52 \u00b2\u00b3\u00b9 \u00bd\u2153 \u2167\u2178 \u3007\u4e00\u4e8c \u2469 \U0001d7d8",
    "a1b22c333d4444e",
    "1st 2nd 3rd 100th 3D 2x4 H2O",
    # Punctuation and the newlines that the patterns attach to it.
    "Wait...\n\nWhat?!\r\n(yes) [no] {maybe} <tag/>",
    "...!!!???---___***###",
    "a,b;c:d.e!f?g",
    "end.\nNext.\n\n\nThird.\n \nFourth",
    " ,\n ;\r\n .\t!",
    "\"quoted\" 'single' `tick` \u201ccurly\u201d \u00abguillemets\u00bb",
    # Emoji: sequences, skin tones, flags, keycaps, tags, unpaired parts.
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466",
    "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "\U0001f44d\U0001f3fd\U0001f44d \u200d\ufe0f\u20e3 \U0001f1eb\U0001f1f7\U0001f1eb",
    "hi\U0001f600there \U0001f600 \U0001f600\U0001f600\n\U0001f600",
    "\u2764\ufe0f \u2764 \u263a\ufe0e",
    # Letters outside the basic plane, letter-like symbols, marks without letters.
    "\U0001d400\U0001d41a \U00010330\U00010331 \U00020000\U0002a6d6 \U00012000",
    "\u02b0\u02bc\u02d0 \u3005\u3006 \u00aa\u00ba \u2c7c \u0e46",
    "\u200e\u200f\u202a\u202e right to left marks \u2066\u2069",
    "\u00adsoft\u00adhyphen zero\u200dwidth\u200cjoin\u2060er",
    "\u0130\u0131 \u00df \u1e9e \u01c5 \u0149 \ufb00",
]


def whitespace(rng, count):
    kinds = [" ", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\r", "\t", "\u00a0", "\u3000", "\u2009", "\u2028", "\x0b", "\x0c", "\u0085", "\u200b", "\ufeff"]
    words = ["a", "word", "The", "12", ".", "!?", "\u4e2d", "\u00e9", "it's", "_", "(", ""]
    for _ in range(count):
        yield "".join(
            rng.choice(words) + "".join(rng.choices(kinds, k=rng.randint(0, 4)))
            for _ in range(rng.randint(1, 6))
        )


def digits(rng, count):
    sets = ["0123456789", "\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669", "\u0966\u0967\u0968\u0969", "\uff10\uff11\uff12", "\u00b2\u00b3\u00bd\u2167\u2460"]
    for _ in range(count):
        parts = ["".join(rng.choices(rng.choice(sets), k=rng.randint(1, 9))) for _ in range(rng.randint(1, 4))]
        yield rng.choice(["", " ", "x", "$", "-"]) + rng.choice([" ", "", ".", ",", ":", "/", "e"]).join(parts)


def contractions(rng, count):
    for _ in range(count):
        word = rng.choice(["it", "DON", "We", "caf\u00e9", "x", "7", "", " ", "\u4ed6", "can"])
        tail = rng.choice(["s", "t", "re", "ve", "m", "ll", "d", "n", "st", "red", "\u017f", "lll", "e"])
        tail = "".join(rng.choice([c.lower(), c.upper()]) for c in tail)
        yield word + rng.choice(["'", "'", "'", "\u2019", " '", "''"]) + tail + rng.choice(["", " ", "x", "."])


BLOCKS = [
    (0x20, 0x7F), (0xA0, 0x250), (0x250, 0x370), (0x370, 0x400), (0x400, 0x530), (0x530, 0x700), (0x900, 0xA00),
    (0xB80, 0xD00), (0xE00, 0x1000), (0x1000, 0x1200), (0x1200, 0x1400), (0x1780, 0x1800), (0x1D00, 0x2000),
    (0x2000, 0x2C00), (0x3040, 0x3100), (0x4E00, 0xA000), (0xA640, 0xA720), (0xAC00, 0xD7A4), (0xF900, 0xFB50),
    (0xFB50, 0xFE00), (0xFE20, 0xFFF0), (0x10300, 0x10500), (0x1D100, 0x1D800), (0x1F300, 0x1FAFF), (0x20000, 0x2A6D0),
]  # fmt: skip


def random_unicode(rng, count):
    """Assigned characters only: what an unassigned one is differs between versions of Unicode."""
    pools = [[chr(c) for c in range(*b) if unicodedata.category(chr(c)) not in ("Cn", "Cs")] for b in BLOCKS]
    for i in range(count):
        pool = pools[i % len(pools)]
        if i % 5 == 4:
            pool = pool + pools[rng.randrange(len(pools))] + [" "] * 60
        yield "".join(rng.choices(pool, k=rng.randint(1, 24)))


def combining(rng, count):
    bases = list("aeioucnsgAEIOUCNSG\u0391\u03b1\u0418\u0438\u05d0\u0627\u0915\u304b\u30cf\u1100\uac00")
    marks = [chr(c) for c in range(0x300, 0x34F)] + list("\u05b0\u05bc\u064b\u0651\u0654\u093c\u3099\u309a\u0323\u1161\u11a8")
    for _ in range(count):
        yield "".join(
            rng.choice(bases) + "".join(rng.choices(marks, k=rng.randint(0, 3))) + rng.choice(["", "", " "])
            for _ in range(rng.randint(1, 8))
        )


def slices(rng, count):
    text = "\n".join(SENTENCES) + "\n".join(CODE)
    for _ in range(count):
        start = rng.randrange(len(text))
        yield text[start : start + rng.randint(1, 90)]


def salad(rng, count):
    """Words of all scripts, glued in all ways."""
    words = [w for s in SENTENCES + CODE for w in s.split()]
    glue = [" "] * 8 + ["", "", "\n", "  ", "\t", ", ", ".\n", "'", "-", "\r\n\r\n", "\u3000", "/"]
    for _ in range(count):
        yield "".join(rng.choice(words) + rng.choice(glue) for _ in range(rng.randint(2, 14)))


def cased(rng, count):
    for _ in range(count):
        words = rng.choice(SENTENCES).split()
        start = rng.randrange(len(words))
        text = " ".join(words[start : start + rng.randint(1, 5)])
        form = rng.choice([str.upper, str.title, str.swapcase, lambda t: unicodedata.normalize("NFD", t), lambda t: unicodedata.normalize("NFKD", t)])
        yield form(text)


LONG = [
    "a" * 1000,
    "ab" * 400,
    "ha" * 37 + "!" * 61,
    " " * 700,
    "\n" * 300,
    "x" + " " * 129 + "y",
    "\t \t " * 40,
    "9" * 301,
    "\u4e2d\u6587" * 120,
    "\U0001f600" * 90,
    "\u0e01\u0e34\u0e19" * 60,
    "e\u0301" * 120,
    "=" * 200 + "\n" + "-" * 80,
    "antidisestablishmentarianism" * 8,
    "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5eg==" * 3,
    " ".join(SENTENCES),
    "\n".join(CODE),
]


def strings():
    """All of them, without repetition, at most one of each."""
    rng = random.Random(20240229)
    found = HAND_PICKED + SENTENCES + CODE + CONTRACTIONS + LONG
    found += whitespace(rng, 300)
    found += digits(rng, 120)
    found += contractions(rng, 150)
    found += random_unicode(rng, 300)
    found += combining(rng, 150)
    found += slices(rng, 500)
    found += salad(rng, 400)
    found += cased(rng, 150)
    return list(dict.fromkeys(found))


def invalid_utf8():
    """Byte strings that are not UTF-8 (a few are, to the last bit)."""
    rng = random.Random(7)
    found = [
        b"\xff", b"\xfe\xff", b"\x80", b"abc\x80def", b"\xc3", b"caf\xc3", b"\xc3(", b"\xe2\x82", b"\xe2\x82\xac", b"\xe2(\xa1",
        b"\xf0\x9f\x98", b"\xf0\x9f\x98\x80", b"\xf0\x9f", b"\xf0", b"\xf0(\x8c\xbc", b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80",
        b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf",
        b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xed\xa0\xbd\xed\xb8\x80", b"\xed\x9f\xbf", b"\xef\xbf\xbd", b"\xef\xbf\xbe",
        b"\xf4\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"a\xe4\xb8b\xe4\xb8\xadc\xb8", b"\xe4\xb8\xad\xe6\x96",
        b"hello \xff\xfe world\n\xc3\xa9\xc3", b"\xef\xbb\xbfbom", b"\x00\xff\x00", b"l\xe9gende", b"\xa4\xa4\xa4\xe5",
    ]  # fmt: skip
    texts = [s.encode() for s in SENTENCES]
    while len(found) < 160:
        data = bytearray(rng.choice(texts))
        start = rng.randrange(len(data))
        data = data[start : start + rng.randint(3, 40)]
        for _ in range(rng.randint(1, 4)):
            if data:
                at = rng.randrange(len(data))
                change = rng.randrange(3)
                if change == 0:
                    data[at] = rng.randrange(256)
                elif change == 1:
                    del data[at]
                else:
                    data.insert(at, rng.randrange(128, 256))
        found.append(bytes(data))
    return found
