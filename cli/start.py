"""Where the three programs begin: their surroundings are set before anything heavy is imported."""

from __future__ import annotations

from cli.surroundings import prepare


def ussim() -> None:
    """The program ``ussim``."""
    prepare()
    from cli.ussim import main

    main()


def translate() -> None:
    """The program ``translate``."""
    prepare()
    from cli.translate import main

    main()


def pipeline() -> None:
    """The program ``ussim-pipeline``."""
    prepare()
    from cli.ussim_pipeline import main

    main()
