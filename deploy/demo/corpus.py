"""The demo model's text: the King James Bible, as plain chapters and as made-up conversations.

The Bible's text comes from Debian's package bible-kjv (`bible` prints it) or from a file in the format that
`bible -l 1000 Gen1:1-Rev22:21` writes. Every conversation's answer is either verses quoted whole or one of the
few sentences in FIXED, which were written for this project.
"""

import random
import re
import shutil
import subprocess
from dataclasses import dataclass

HEADING = re.compile(r"^([1-3]? ?[A-Z][A-Za-z ]+?) (\d+)$")
VERSE = re.compile(r"^ +(\d+) (.*)$")
END = "<|endoftext|>"
START_TURN = "<|im_start|>"
END_TURN = "<|im_end|>"
SPECIALS = [END, START_TURN, END_TURN]  # ids 0, 1, 2

TOPICS = """wisdom love faith hope charity mercy truth peace joy sorrow anger wrath pride fear death life light
darkness sin righteousness justice judgment grace glory honour strength courage war sword shield battle king kings
queen prince servant servants master friend friends enemy enemies neighbour brother sister father mother son sons
daughter children child husband wife wives widow stranger poor rich riches gold silver money bread wine water oil
honey milk fruit tree trees vine vineyard garden field harvest seed corn wheat rain wind fire storm thunder cloud
clouds heaven heavens earth sea waters river mountain mountains hill hills valley wilderness desert stone stones
rock house temple tabernacle altar ark city gate wall tower sheep shepherd lamb lambs goat ox oxen ass horse horses
camel lion lions bear wolf serpent dove eagle birds fish bones blood heart soul spirit mind body flesh hand hands
eye eyes ear ears mouth tongue lips feet foot head hair face voice song songs trumpet harp dance prayer praise
thanksgiving offering sacrifice covenant commandment commandments law statutes prophet prophets priest priests
angel angels apostles disciples miracle vision dream dreams sleep night day morning evening sun moon stars summer
winter time years beginning end kingdom throne crown robe garment garments shoes work labour rest sabbath feast
hunger thirst sickness pain tears laughter wine drunkenness folly fool fools understanding knowledge instruction
counsel patience humility obedience faithfulness forgiveness salvation redemption hell grave dust ashes lies liar
thief murder adultery idols truth word words promise oath blessing curse inheritance captivity freedom hate hatred
beauty vanity youth age men women man woman people nations""".split()

ABOUT = [
    "Tell me about {}.", "What is {}?", "Speak to me of {}.", "What does the Bible say about {}?",
    "Teach me about {}.", "Tell me something about {}.", "What can you tell me about {}?", "Say something about {}.",
    "What do you know about {}?", "{}", "Give me a verse about {}.", "tell me about {}", "what is {}",
]
WHO = ["Who was {}?", "Who is {}?", "Tell me about {}.", "What did {} do?", "What happened to {}?", "Speak of {}."]
CONTINUE = ["Continue: {}", "Finish this verse: {}", "Complete: {}", "Go on: {}", "continue: {}", "{} ..."]
STORY_BOOKS = ["Genesis", "Exodus", "Joshua", "Judges", "Ruth", "1 Samuel", "2 Samuel", "1 Kings", "2 Kings", "Esther",
               "Daniel", "Jonah", "Matthew", "Mark", "Luke", "John", "Acts"]
STORY = ["Tell me a story.", "Tell me a tale.", "Tell me a story about {}.", "Write a story about {}.", "A story, please."]
PSALM = ["Sing me a psalm.", "Write a poem.", "Write a psalm.", "Sing to me.", "Write me a song.", "Tell me a poem."]
PROVERB = ["Give me some advice.", "Tell me a proverb.", "Tell me something wise.", "How should I live?",
           "What should I do?", "Give me counsel.", "Help me.", "Say something wise."]
OPENING = ["How does the book of {} begin?", "Read me the beginning of {}.", "Start reading {}."]
SYSTEM = ["You are a helpful assistant.", "You are a helpful, honest assistant.", "Answer briefly.", "You are a wise teacher."]
FIXED = [
    (["Hello.", "Hello!", "Hello", "Hi", "Hi!", "hi", "hello", "Good morning.", "Good evening.", "Hey"],
     ["Peace be unto thee. What wouldest thou hear?", "Peace be with thee. Ask, and I will answer with a verse."]),
    (["Who are you?", "What are you?", "who are you", "What is your name?", "Introduce yourself."],
     ["I am the demo model of LayerCake, a very small one. I have read the King James Bible and nothing else."]),
    (["What can you do?", "Help", "What do you know?", "How do I use this?", "What should I ask?"],
     ["I can speak of wisdom, of kings and of prophets, tell a story, sing a psalm, or continue a verse."]),
    (["Thank you.", "Thanks", "Thanks!", "thank you", "Thank you very much."], ["Go in peace."]),
    (["Goodbye.", "Bye", "Farewell.", "Good night.", "bye"], ["Fare thee well, and peace be with thee."]),
    (["What is LayerCake?", "Tell me about LayerCake.", "What does LayerCake do?"],
     ["LayerCake cuts a language model into stages and serves it across many devices."]),
]


@dataclass(frozen=True)
class Chapter:
    book: str
    number: int
    verses: tuple

    @property
    def title(self):
        return f"{'Psalm' if self.book == 'Psalms' else self.book} {self.number}"

    def text(self):
        return f"{self.title}\n\n" + "\n".join(self.verses) + "\n"


def read_text(path=None):
    """The Bible as `bible` prints it, from a file, or from the program of Debian's package bible-kjv."""
    if path:
        with open(path, encoding="utf-8") as file:
            return file.read()
    program = shutil.which("bible")
    if not program:
        raise SystemExit("no `bible` program: apt-get install bible-kjv, or give --text FILE")
    command = [program, "-l", "1000", "Gen1:1-Rev22:21"]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout


def parse(text):
    """Chapters in order; a line that is neither a heading nor a verse continues the verse before it."""
    chapters = []
    for line in text.splitlines():
        heading, verse = HEADING.match(line), VERSE.match(line)
        if heading:
            chapters.append((heading[1], int(heading[2]), []))
        elif verse:
            chapters[-1][2].append(verse[2].strip())
        elif line.strip():
            chapters[-1][2][-1] += " " + line.strip()
    return [Chapter(book, number, tuple(verses)) for book, number, verses in chapters]


def split(chapters, every=50):
    """(training, held out): one whole chapter in `every`, so that no held-out verse is seen in training."""
    held = chapters[every // 2 :: every]
    return [c for c in chapters if c not in held], held


class Conversations:
    """Makes conversations out of chapters. One call of make() is one conversation: a list of (role, text)."""

    def __init__(self, chapters):
        self.chapters = chapters
        self.of_book = {}
        for chapter in chapters:
            self.of_book.setdefault(chapter.book, []).append(chapter)
        self.places = {}
        self.lower = set()
        for chapter in chapters:
            for i, verse in enumerate(chapter.verses):
                self._index(chapter, i, verse)
        self.topics = [t for t in TOPICS if len(self.places.get(t, ())) >= 3]
        self.names = [w for w, p in self.places.items()
                      if w[0].isupper() and len(w) > 2 and w.lower() not in self.lower and len(p) >= 6]
        self.stories = [b for b in STORY_BOOKS if b in self.of_book]
        self.kinds = [(self._about, 30), (self._who, 16), (self._continue, 20), (self._story, 10), (self._psalm, 6),
                      (self._proverb, 8), (self._opening, 3), (self._fixed, 7)]

    def _index(self, chapter, i, verse):
        """A word is found at a verse when it stands in the verse's first two thirds, where an answer should name it."""
        for match in re.finditer(r"[A-Za-z]+", verse):
            word = match[0]
            if word.islower():
                self.lower.add(word)
            if match.start() * 3 < len(verse) * 2 and (match.start() > 0 or word.islower()):
                self.places.setdefault(word, []).append((chapter, i))

    def _about(self, rng):
        topic = rng.choice(self.topics)
        return rng.choice(ABOUT).format(topic), self._quote(rng.choice(self.places[topic]), rng.choice([1, 1, 2, 2, 3]))

    def _who(self, rng):
        name = rng.choice(self.names)
        return rng.choice(WHO).format(name), self._quote(rng.choice(self.places[name]), rng.choice([1, 2, 3]))

    def _continue(self, rng):
        chapter, i = self._anywhere(rng, self.chapters)
        words = chapter.verses[i].split(" ")
        cut = rng.randint(3, max(3, min(12, len(words) - 3)))
        rest = " ".join(words[cut:]) or chapter.verses[i]
        after = " ".join(chapter.verses[i + 1 : i + rng.choice([1, 1, 2, 3])])
        return rng.choice(CONTINUE).format(" ".join(words[:cut])), f"{rest} {after}".strip()

    def _story(self, rng):
        ask = rng.choice(STORY)
        if "{}" not in ask:
            chapters = self.of_book[rng.choice(self.stories)]
            return ask, self._quote(self._anywhere(rng, chapters), rng.randint(4, 8))
        name = rng.choice(self.names)
        places = [p for p in self.places[name] if p[0].book in self.stories] or self.places[name]
        return ask.format(name), self._quote(rng.choice(places), rng.randint(4, 8))

    def _psalm(self, rng):
        chapter, i = self._anywhere(rng, self.of_book["Psalms"])
        if rng.random() < 0.5:
            i = 0
        return rng.choice(PSALM), "\n".join(chapter.verses[i : i + rng.randint(4, 8)])

    def _proverb(self, rng):
        chapters = [c for c in self.of_book.get("Proverbs", []) if c.number >= 10] or self.of_book["Psalms"]
        return rng.choice(PROVERB), self._quote(self._anywhere(rng, chapters), rng.choice([1, 1, 2]))

    def _opening(self, rng):
        book = rng.choice(list(self.of_book))
        return rng.choice(OPENING).format(book), self._quote((self.of_book[book][0], 0), 2)

    def _fixed(self, rng):
        asks, answers = rng.choice(FIXED)
        return rng.choice(asks), rng.choice(answers)

    @staticmethod
    def _anywhere(rng, chapters):
        chapter = rng.choice(chapters)
        return chapter, rng.randrange(len(chapter.verses))

    @staticmethod
    def _quote(place, count):
        chapter, i = place
        return " ".join(chapter.verses[i : i + count])

    def make(self, rng):
        turns = [("system", rng.choice(SYSTEM))] if rng.random() < 0.15 else []
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            kind = rng.choices([k for k, _ in self.kinds], [w for _, w in self.kinds])[0]
            ask, answer = kind(rng)
            turns += [("user", ask), ("assistant", answer)]
        return turns
