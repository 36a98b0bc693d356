"""`python -m universal_style`: the command line, where its program is not on the path."""

from universal_style.cli import program

if __name__ == "__main__":
    program()
