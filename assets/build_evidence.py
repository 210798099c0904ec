"""Make `assets/evidence/demo.json`: every selector on the demo at equal tokens, and what each one's whole order costs here.

    python assets/build_evidence.py

`comparison` is what `fishersft compare demo --budget 120 --equal tokens --json` prints for these selectors; `order_seconds` is
the time of each whole order on the machine it ran on, computed afresh.  Without those that need a
target, Ask-LLM, which needs a model of its own, and IFD, which needs prompts.
"""

import json
import tempfile
from pathlib import Path

from fishersft import Budget, Store, load_pool, make_selector, paths, registry
from fishersft.pipeline import embed_and_select
from fishersft.scoring.comparison import compare
from fishersft.scoring.summaries import comparison_summary

NEEDY = ("ask_llm", "ifd")
TARGET = Path(__file__).resolve().parent / "evidence" / "demo.json"


def main() -> None:
    selectors = [make_selector(name) for name, kind in registry().items() if not kind.needs_target and name not in NEEDY]
    with tempfile.TemporaryDirectory() as folder:
        pool = load_pool("demo", store=Store(Path(folder), (paths.asset("store"),)))
        pool.statistics()  # the model's reading, which some selectors ask for, is not the selector's time
        alone = Store(Path(folder) / "orders")
        seconds = {}
        for selector in selectors:
            order = embed_and_select.order(pool, selector, Budget(sentences=len(pool)), store=alone)
            seconds[selector.name] = round(float(order.seconds[-1]), 3)
            print(f"{selector.name}: {seconds[selector.name]} s")
        found = compare(pool, selectors, Budget(sentences=120), equal="tokens", store=alone)
    held = {
        "comparison": comparison_summary(found),
        "order_seconds": seconds,
        "rows": len(pool.embeddings.values),
        "dimension": pool.embeddings.dimension,
    }
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(json.dumps(held, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
