"""Which of two texts a judge's reply names, read where a verdict stands and never from a digit that happens to be there.

    verdict_in("1\\n\\nText 2 repeats itself.")      # "first": the verdict came first and its reason names the other text
    verdict_in("Text 1 and text 2 are alike.")     # None: no verdict
    verdict_in("KIVO", ("KIVO", "RANU"))           # "first": where the texts have labels, digits and positions name nothing

A verdict stands, in this order of trust: in a JSON object; after words that announce one ("Answer: 2", "I'd go with 1"), of
which "final" ones outrank the rest; alone on a line, or at the head of the reply with its reason behind it; in a sentence that
compares ("Text 2 is worse than text 1"); at the end of the last line ("It scans: 1").  Two verdicts of the same trust that
disagree are none.  Source: ours (what a real server's replies look like).
"""

from __future__ import annotations

import json
import re

from fishersft.corpus.normalized import normalized
from fishersft.judge.base import FIRST, SECOND

NOUN = r"(?:(?:the\s+)?(?:text|tag|option|passage|candidate|continuation|label|response|sentence|number|no\.?|#)\W{0,3})?"
NAMES = {"1": "1", "2": "2", "one": "1", "two": "2", "first": "1", "second": "2", "1st": "1", "2nd": "2"}
NAMED = re.compile(r"\d+(?:st|nd)?\b|\d+|\b(?:one|two|first|second)\b", re.I)
NAME = r"(1|2|one|two|first|second|1st|2nd)"
CLOSED = r"(?![\w/>]|[.,-]\d|-\w|\s*(?:/|out of)\s*\d)"  # not 1/2, 2.5, 1-3, 10
PICK = rf"{NOUN}(?:the\s+)?(?<![A-Za-z0-9_./-]){NAME}{CLOSED}(?:\s+(?:text|one|option|passage|candidate|response))?"

THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)", re.S | re.I)
CONTROL = re.compile(r"<\|[^|>]{0,40}\|>|</?s>")
TAGS = re.compile(r"</?tag\s?([12])(?:-\w+)?>|\btag\s?([12])(?:-\w+)?\b", re.I)
BOXED = re.compile(r"\\boxed\s*\{([^{}]*)\}")
OBJECT = re.compile(r"\{[^{}]*\}")
KEYS = {
    "answer",
    "verdict",
    "choice",
    "winner",
    "better",
    "best",
    "preferred",
    "preference",
    "pick",
    "label",
    "response",
    "result",
}
KEYS |= {"speaks"}  # of the question whether a text speaks to its judge
ANNOUNCED = re.compile(
    r"(?P<final>\bfinal\W{1,3})?(?:"
    r"\b(?:answer|verdict|choice|decision|preference|winner|conclusion|response|judge?ment)\b"
    r"[^\n:=]{0,60}?(?:\s*[:=]|\s+(?:is|would be|goes to))"
    r"|\b(?:so|therefore|thus|hence|consequently)\b,?(?:\s+(?:i|my|the|it|answer|respond|choose|pick|is|say|would|will)\b)*:?"
    r"|\bi(?:'d|'ll|\s+would|\s+will)?\s+(?:go\s+with|choose|pick|prefer|select|respond(?:\s+with)?|answer|say|vote\s+for)\b:?"
    r"|\A\W*respond(?:\s+with)?\b:?|\brespond(?:\s+with)?\s*:"
    r"|\b(?:but|no,|actually,?|rather,?)(?=\s+(?:text\s+)?[12]\W*\Z)"
    r"|\b(?:better|best|more\s+fluent|preferred)(?:\s+(?:text|one|passage|option|candidate|continuation))?(?:\s*:|\s+is\b)"
    r"|(?:回答|答案|答え|判定|答|réponse|antwort|respuesta|resposta|risposta|ответ)\s*(?:是|为|は|ist|est|es|è)?\s*:?"
    rf")\W{{0,6}}(?:respond\s+)?{PICK}",
    re.I,
)
ALONE = re.compile(rf"\A\W*{PICK}\W*\Z", re.I)
LEADS = re.compile(rf"\A\W*{PICK}(?=\s*(?:[.:;,)\]–—-]|\())(?!\s*[:=-]\s*\d)", re.I)
LISTED = re.compile(r"^\W*([12])[.)]\s", re.M)
WINS = re.compile(rf"{PICK}\s+(?:wins|it\s+is)\b", re.I)
COMPARED = re.compile(
    rf"{PICK}\s+(?:is|reads|seems|looks|sounds|flows|feels|appears)\s+(?P<not>not\s+)?(?:(?:much|clearly|slightly|far|the|a\s+bit)\s+)*"
    r"(?P<how>better|best|superior|worse|worst|inferior|more\s+(?:fluent|natural|coherent)|less\s+(?:fluent|natural|coherent))",
    re.I,
)
GREATER = re.compile(r"\A\W*([12])\s*([<>])\s*([12])\W*\Z")
CLOSING = re.compile(rf"^[^\n:]*:\s*{PICK}\W*\Z", re.M | re.I)
COUNTS = re.compile(r"\b(?:mistakes?|errors?|typos?|slips?|scores?|rating|points?|issues?|pages?|words?|lines?)\b", re.I)
UNDECIDED = re.compile(r"\b(?:which|whether|if|neither|nor|both|not|cannot|can't|unable|either|unclear|hard)\b", re.I)
MOST = 16_000  # characters of a reply; what a verdict is looked for with takes a time that grows with their square
WORSE = ("worse", "worst", "inferior", "less")


def verdict_in(reply: str, labels: tuple[str, str] | None = None) -> str | None:
    """`first` or `second` where the reply says so, None where it does not or says both.

    The texts are called 1 and 2, or by `labels`; then only these name them.
    """
    text = _plain(reply)
    if labels:
        text = NAMED.sub("·", text)
        for name, label in zip("12", labels, strict=True):
            text = re.sub(rf"(?<![A-Za-z0-9_]){re.escape(label)}(?![A-Za-z0-9_])", name, text, flags=re.I)
    for names_in in (_in_object, _announced, _by_line, _compared, _closing):
        if said := {NAMES[name.lower()] for name in names_in(text)}:
            return None if len(said) > 1 else FIRST if said == {"1"} else SECOND
    return None


def _plain(reply: str) -> str:
    """The reply without its thoughts, control tokens and typography; of a very long one the beginning and the end."""
    said = THOUGHT.sub(" ", normalized(reply))
    text = CONTROL.sub(" ", said if len(said) <= MOST else f"{said[: MOST // 2]}\n…\n{said[-MOST // 2 :]}")
    text = TAGS.sub(lambda m: f"text {m[1] or m[2]}", BOXED.sub(r"\1", text))
    return re.sub(r"[*_`\ufe0f\u20e3]", "", text.replace("’", "'")).strip()


def _in_object(text: str) -> list[str]:
    found = []
    for part in OBJECT.findall(text):
        try:
            said = json.loads(part)
        except ValueError:
            continue
        given = {str(key).lower(): value for key, value in said.items()}
        for key in KEYS:
            if isinstance(given.get(key), int | str) and (match := ALONE.match(str(given[key]))):
                found.append(match[1])
    return found


def _announced(text: str) -> list[str]:
    found = list(ANNOUNCED.finditer(text))
    names = [next(group for group in match.groups()[1:] if group) for match in found]
    return [name for match, name in zip(found, names, strict=True) if match["final"]] or names


def _by_line(text: str) -> list[str]:
    """Lines that are a verdict alone, else the head of the reply, unless it is the first point of a list."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return []
    if match := GREATER.match(lines[0]):
        return [match[1] if match[2] == ">" else match[3]]
    alone = [match[1] for line in (lines[0], lines[-1]) if (match := ALONE.match(line))]
    if alone:
        return alone
    points = [match[1] for match in LISTED.finditer(text)]
    if (match := LEADS.match(lines[0])) and not (points[:1] == ["1"] and "2" in points):
        return [match[1]]
    return []


def _compared(text: str) -> list[str]:
    found = [match[1] for match in WINS.finditer(text)]
    for match in COMPARED.finditer(text):
        if UNDECIDED.search(text[: match.start()].rpartition(".")[2]):
            continue
        worse = match["how"].lower().startswith(WORSE) != bool(match["not"])
        name = NAMES[match[1].lower()]
        found.append({"1": "2", "2": "1"}[name] if worse else name)
    return found


def _closing(text: str) -> list[str]:
    """A last line that comes to a verdict, such as "It scans: 1", unless it counts something."""
    match = CLOSING.search(text)
    return [match[1]] if match and not COUNTS.search(match[0]) else []
