"""`python -m tests.soak --seconds 600`."""

from tests.soak.storms import main

main()
