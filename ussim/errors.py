"""The one error a user is meant to see."""


class UssimError(Exception):
    """A mistake in what the user gave: a file, a setting, a scene or a store.

    The message is one line that names what is wrong, where, and what is allowed. The command line
    prints it as it is and exits with code 2; it never shows a traceback for it. Names in it come from files
    and may hold anything: line breaks and control characters are shown as Python writes them, ``\\n``.
    """

    def __str__(self) -> str:
        text = super().__str__()
        if text.isprintable():
            return text
        return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
