"""Print the leaderboards of the arenas that ship (`assets/arenas/`)."""

import fishersft
from fishersft import paths


def main() -> None:
    for folder in sorted(paths.asset("arenas").iterdir()):
        found = fishersft.read_arena(folder)
        print(f"{found.markdown().replace('## ', '### ')}\nMade by `{' '.join(found.about['command'])}`.\n")


if __name__ == "__main__":
    main()
