"""`python -m batchchat`."""

from batchchat.cli import main

if __name__ == "__main__":
    main(prog_name="batchchat")
