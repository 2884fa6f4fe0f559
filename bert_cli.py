"""`uv run python bert_cli.py train …`: the command line of a checkout."""

from bert_playground.cli.app import main

if __name__ == "__main__":
    main()
