"""`python -m calibook`: the `calibook` command of this very interpreter."""

from calibook.cli.main import main

if __name__ == "__main__":
    main()
