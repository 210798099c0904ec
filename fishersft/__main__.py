"""`python -m fishersft`: the same as the command `fishersft`."""

from fishersft.cli import main

if __name__ == "__main__":
    main()
