"""Long storms over the embedding cache: `make soak SECONDS=600`. The short ones are part of `make test`."""
