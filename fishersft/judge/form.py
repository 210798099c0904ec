"""What a judge is asked: `JudgeForm` holds the options of `fishersft judge` and the fields of the form on the screen.

Imports nothing heavy, so that a command can declare its options from it.
"""

from __future__ import annotations

from dataclasses import dataclass

from fishersft.errors import JudgeError
from fishersft.fields import check, parameter

REFERENCE, LLM = "reference", "llm"
JSON, PAPER = "json", "paper"  # protocols of judges that read words


@dataclass(frozen=True)
class Prices:
    """Dollars per million tokens, and the most that may be spent; None where not stated."""

    tokens_in: float | None = None
    tokens_out: float | None = None
    most: float | None = None

    def __post_init__(self) -> None:
        if self.most is not None and not self.known:
            raise JudgeError("--max-cost needs prices to count with: --price-in and --price-out, in dollars per million tokens.")

    @property
    def known(self) -> bool:
        return self.tokens_in is not None and self.tokens_out is not None

    def dollars(self, tokens_in: int, tokens_out: int) -> float | None:
        if self.tokens_in is None or self.tokens_out is None:
            return None
        return (tokens_in * self.tokens_in + tokens_out * self.tokens_out) / 1e6


@dataclass(frozen=True)
class JudgeForm:
    """Which judge compares which texts, and what that may cost; ParameterError or JudgeError where a value does not fit."""

    judge: str = parameter("reference", "'reference', 'llm', 'hf:ID', or a model folder.", metavar="JUDGE", in_address=False)
    base_url: str = parameter(
        "",
        "Address of an OpenAI-compatible server (llm).",
        label="Server",
        metavar="URL",
        shown_default="OPENAI_BASE_URL, or openai.com",
        in_address=False,
    )
    model: str = parameter("", "Name of the model on that server (llm).", metavar="NAME", in_address=False)
    domain: str = parameter(
        "", "What kind of text is judged, such as Shakespeare.", label="A judge of", shown_default="the run's", in_address=False
    )
    protocol: str = parameter(
        JSON,
        "How a judge that reads words is asked: json is ours and does not let a text name its verdict; paper is the paper's own "
        "prompt, for reproduction.",
        choices=(JSON, PAPER),
    )
    against: str = parameter("", "Compare every selector with this one only; base and all are allowed.", metavar="SELECTOR")
    pairs: str = parameter("", "Compare only these selectors.", metavar="A:B,...")
    budget: tuple[int, ...] = parameter((), "Compare only at these numbers of sentences.", shown_default="all of the run's")
    prompts: int | None = parameter(None, "Prompts to use, starting from the first.", least=1, shown_default="all")
    price_in: float | None = parameter(
        None, "Dollars per million tokens that the server reads.", label="$ per million tokens in", least=0
    )
    price_out: float | None = parameter(
        None, "Dollars per million tokens that it writes.", label="$ per million tokens out", least=0
    )
    max_cost: float | None = parameter(None, "Stop before spending more dollars than this.", label="Spend at most, $", least=0)
    wait: float = parameter(600.0, "Seconds to wait for a server that is down.", least=0)
    device: str = parameter("auto", "auto, cpu, cuda, cuda:1 or mps (reference, hf, folder).")

    def __post_init__(self) -> None:
        check(self)
        if self.judge != LLM and (self.base_url or self.model):
            raise JudgeError("--base-url and --model belong to --judge llm; a local model is --judge hf:ID or its folder.")
        _ = self.prices, self.selectors

    @property
    def prices(self) -> Prices:
        return Prices(self.price_in, self.price_out, self.max_cost)

    @property
    def selectors(self) -> list[tuple[str, str]]:
        """The pairs of selectors in `pairs`."""
        out = []
        for part in self.pairs.split(",") if self.pairs else ():
            a, colon, b = (x.strip() for x in part.partition(":"))
            if not colon or not a or not b or a == b:
                raise JudgeError(f"--pairs takes two selectors with a colon between, as token_od:uniform, not '{part[:80]}'.")
            out.append((a, b))
        return out
